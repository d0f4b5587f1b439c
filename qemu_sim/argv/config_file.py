"""The file that -readconfig names: groups of options, each under a heading.

QEMU: util/qemu-config.c, system/vl.c (qemu_parse_config_group)

    [device "net0"]
      driver = "virtio-net-pci"

is `-device driver=virtio-net-pci,id=net0`. QEMU reads it with sscanf, which forgives much: what
stands behind a value or a heading is ignored, and a key without a quoted value has an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from qemu_sim.argv.reading import Reader, Reading, not_simulated
from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import StartError
from qemu_sim.qapi import profile as profiles

_HEADING_WITH_ID = re.compile(r'\[\s*(\S{1,63}+)\s*"([^"]{1,63})')
_HEADING = re.compile(r"\[([^]]{1,63})")
_PAIR = re.compile(r'\s*(\S{1,63}+)\s*=\s*"([^"]{1,1023})')
_KEY = re.compile(r"\s*(\S{1,63})")
# Where the option has another name than the group.
_OPTIONS = {"memory": "m", "smp-opts": "smp", "boot-opts": "boot"}
# These are no QemuOpts: they are read whole, at once.
_READ_AT_ONCE = ("machine", "smp-opts", "boot-opts", "audiodev")
_NEWER = (8, 0, 0)  # than 7.2: what is wrong with a group is said of the option, not of a line


class _Group(NamedTuple):
    """One group: `line` is that of its last key, or of an earlier group's; 0 for none."""

    name: str
    values: dict[str, str]
    line: int = 0


def read(reading: Reading, source: str, path: str, readers: Mapping[str, Reader]) -> None:
    """Read the file as if its groups were options. Raises StartError in QEMU's words."""
    reading.report.files.add(path)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            lines = file.readlines()
    except IsADirectoryError as error:
        raise StartError(f"{source}: Cannot read config file: {error.strerror}") from None
    except OSError as error:
        raise StartError(f"{source}: Could not open '{path}': {error.strerror}") from None
    is_newer = reading.version >= _NEWER
    for group in _groups(lines, source if is_newer else path, is_newer=is_newer):
        place = f"{path}:{group.line}" if group.line else ""
        reading.opts_source = source if is_newer else place
        _apply(reading, group, place, readers)
    reading.opts_source = None


def _groups(lines: list[str], source: str, *, is_newer: bool) -> Iterator[_Group]:
    group: _Group | None = None
    last = 0
    for number, line in enumerate(lines, 1):
        if line[0] in "\n#":
            continue
        heading = _heading(line)
        if heading is not None:
            if group is not None:
                yield group._replace(line=last)
            group = heading
            continue
        last = number
        place = source if is_newer else f"{source}:{number}"
        pair = _PAIR.match(line) or _KEY.match(line)
        if pair is None:
            raise StartError(f"{place}: parse error")
        if group is None:
            raise StartError(f"{place}: no group defined")
        group.values[pair[1]] = pair[2] if pair.re is _PAIR else ""
    if group is not None:
        yield group._replace(line=last)


def _heading(line: str) -> _Group | None:
    if found := _HEADING_WITH_ID.match(line):
        return _Group(found[1], {"id": found[2]})
    found = _HEADING.match(line)
    return None if found is None else _Group(found[1], {})


def _apply(reading: Reading, group: _Group, place: str, readers: Mapping[str, Reader]) -> None:
    """Give the group to the reader of its option, as that option's text."""
    source = reading.opts_source if group.name in _READ_AT_ONCE else place
    assert source is not None  # `read` has set it
    if not _exists(reading, group.name):
        raise reading.opts_error(f"There is no option group '{group.name}'")
    reader = readers.get(_OPTIONS.get(group.name, group.name))
    if reader is None:
        raise not_simulated(f"{place}: group '{group.name}'")
    reader(reading, source, ",".join(_texts(reading, group)))


def _texts(reading: Reading, group: _Group) -> Iterator[str]:
    # An ID in front keeps -netdev from reading the rest in its newer way, as QEMU does not here.
    for key in sorted(group.values, key=lambda key: key != "id"):
        if "=" in key or "," in key:
            raise reading.opts_error(f"Invalid parameter '{key}'")
        yield f"{key}={group.values[key].replace(',', ',,')}"


def _exists(reading: Reading, name: str) -> bool:
    try:
        profile = profiles.load(reading.profile)
    except QMPError as error:
        raise StartError(f"-sim: {error}") from None
    if name == "audiodev":
        return profile.version >= _NEWER
    return any(
        each["option"] == name != "" for each in profile.section("query-command-line-options")
    )
