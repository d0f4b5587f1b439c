"""Options that add a part: -chardev, -netdev, -object, -device, -blockdev, -add-fd.

QEMU: system/vl.c, net/net.c, system/qdev-monitor.c

`key=value` and, where QEMU takes it, JSON. A part's type and properties are checked by who
makes it.
"""

from __future__ import annotations

import fcntl
from typing import Any

from qemu_sim.argv import monitors
from qemu_sim.argv.reading import Reader, Reading, blame, read_json
from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import Given
from qemu_sim.qapi import chardev_opts
from qemu_sim.qapi.opts import Group, as_text, parse_number, split

_NETDEV = Group("netdev", implied="type")
_OBJECT = Group("object", implied="qom-type")
_DEVICE = Group("device", implied="driver")
_ADD_FD = Group("add-fd", kinds={"fd": parse_number, "set": parse_number, "opaque": as_text})
_NETDEVS_IN_KEYVAL = ("stream", "dgram")
_STDIO = 2
_ALIASES_UNTIL = (9, 0, 0)
_INT64 = 1 << 63


def _chardev(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        id, values = reading.opts(chardev_opts.group(reading.version), source, text)
        if id is None:
            raise QMPError("chardev: no id specified")
        _replace_alias(reading, source, values)
        made = chardev_opts.shared(id, values)
    reading.configuration.chardevs += [Given(source, each, typed=True) for each in made]


def _replace_alias(reading: Reading, source: str, values: dict[str, Any]) -> None:
    named = values.get("backend")
    successor = chardev_opts.ALIASES.get(named or "")
    if successor is not None and reading.version < _ALIASES_UNTIL:
        reading.report.warn_once(
            source, f"The alias '{named}' is deprecated, use '{successor}' instead"
        )
        values["backend"] = successor


def _netdev(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        given = _read(reading, _netdev_group(text), source, text)
        if not given.typed and _netdev_group(text) is not None:
            given = given._replace(values={**given.values, **_repeated(text)})
        if not given.values.get("id"):
            raise QMPError("Parameter 'id' is missing")
    reading.configuration.netdevs.append(given)


def _repeated(text: str) -> dict[str, list[str]]:
    """Return the values of each key that stands there more than once, such as hostfwd."""
    values: dict[str, list[str]] = {}
    for pair in split(text, _NETDEV.implied):
        values.setdefault(pair.key, []).append(pair.value)
    lists = values.keys() - {"id", "type"}  # of these two the last counts
    return {key: values[key] for key in lists if len(values[key]) > 1}


def _netdev_group(text: str) -> Group | None:
    """Return the group that reads `text`; None for the newer types, which take keyval."""
    kind = text.removeprefix("type=").partition(",")[0]
    return None if kind in _NETDEVS_IN_KEYVAL else _NETDEV


def _object(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        given = _read(reading, _OBJECT, source, text)
        if "qom-type" not in given.values:
            raise QMPError("Parameter 'qom-type' is missing")
        if "id" not in given.values:
            monitors.object_options(reading, given)
        if given.values["qom-type"] in monitors.OBJECTS:
            reading.configuration.monitors.append(monitors.from_object(reading, given))
            return
    reading.configuration.objects.append(given)


def _device(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        given = _read(reading, _DEVICE, source, text)
        if "driver" not in given.values:
            raise QMPError("Parameter 'driver' is missing")
    reading.configuration.devices.append(given)


def _blockdev(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        given = _read(reading, None, source, text, implied="driver")
    reading.configuration.blockdevs.append(given)


def _add_fd(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        values = reading.opts(_ADD_FD, source, text).values
        _check_fd(values)
    reading.configuration.add_fds.append(Given(source, values, typed=True))


def _check_fd(values: dict[str, Any]) -> None:
    fd = values.get("fd", _INT64)
    if fd >= _INT64:
        raise QMPError("fd option is required and must be non-negative")
    if fd <= _STDIO:
        raise QMPError("fd cannot be a standard I/O stream")
    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFD)
    except (OSError, OverflowError):
        flags = fcntl.FD_CLOEXEC
    # What an earlier option opened is CLOEXEC; what the starter passed cannot be.
    if flags & fcntl.FD_CLOEXEC:
        raise QMPError("fd is not valid or already in use")
    if values.get("set", _INT64) >= _INT64:
        raise QMPError("set option is required and must be non-negative")


def _read(
    reading: Reading, group: Group | None, source: str, text: str, implied: str = "type"
) -> Given:
    """Read JSON, QemuOpts (if there is a `group`) or keyval; claim the ID in `group`."""
    if text.startswith("{"):
        return Given(source, read_json(text), typed=True)
    if group is None:
        return Given(source, reading.keyval("netdev", text, implied))
    id, values = reading.opts(group, source, text)
    return Given(source, values if id is None else {**values, "id": id})


READERS: dict[str, Reader] = {
    "chardev": _chardev,
    "netdev": _netdev,
    "object": _object,
    "device": _device,
    "blockdev": _blockdev,
    "add-fd": _add_fd,
}
