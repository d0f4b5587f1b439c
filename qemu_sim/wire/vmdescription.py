"""The JSON that closes a migration stream: what each device's section holds.

QEMU: migration/vmstate.c (vmsd_desc_field_start), migration/savevm.c (vmdesc)

    {"page_size": …, "configuration": STRUCT, "devices": [STRUCT and name, instance_id]}
    STRUCT = {"vmsd_name": …, "version": …, "fields": [FIELD], "subsections": [STRUCT]}
    FIELD  = {"name": …, "type": …, "size": bytes of one element,
              "array_len" | "index": …, "struct": STRUCT}

Elements of equal shape are one FIELD with their number, others one FIELD each. Types
`tmp` and `vstruct` have the members of STRUCT in the FIELD itself. A device of the old
style has "size" in place of a version. The sizes alone tell how long a section is, so that
one can be skipped, or split off, by somebody who knows nothing of the device.
"""

from __future__ import annotations

import json
import mmap
import re
from typing import Any, NamedTuple

from qemu_sim.errors import WireError
from qemu_sim.wire import vmstream

MAX = 64 << 20  # bytes; a large machine's takes about one

_INLINE = ("tmp", "vstruct")
_CANDIDATE = re.compile(
    bytes([vmstream.EOF, vmstream.VMDESCRIPTION]) + rb"(?=([\x00-\x03]...)\{)", re.DOTALL
)
_CANDIDATE_SIZE = 7
_HEAD_SIZE = 6  # EOF, VMDESCRIPTION, u32 length
_SUBSECTION_HEAD = 1 + 1 + 4  # kind, length of the name, version; the name itself


class Field(NamedTuple):
    """One field, or `number` of them in a row; `size` in bytes is that of one."""

    name: str
    type: str
    size: int
    number: int
    struct: Struct | None


class Struct(NamedTuple):
    """The fields of a device, of a part of it, or of a subsection; old ones have no version."""

    name: str
    version: int | None
    fields: tuple[Field, ...]
    subsections: tuple[Struct, ...]

    @property
    def size(self) -> int:
        """Bytes in the stream, subsections and their heads included."""
        fields = sum(field.size * field.number for field in self.fields)
        return fields + sum(
            _SUBSECTION_HEAD + len(each.name.encode()) + each.size for each in self.subsections
        )


class Description(NamedTuple):
    """What a whole stream holds: devices by name and instance."""

    page_size: int
    configuration: Struct | None
    devices: dict[tuple[str, int], Struct]


class Devices:
    """The devices of `description`, each of which has exactly one section."""

    def __init__(self, description: Description) -> None:
        self.description = description
        self._missing = dict(description.devices)

    def take(self, section: vmstream.Section) -> Struct:
        """Return what `section` holds. Raises WireError when it is not described so, or twice."""
        found = self._missing.pop((section.name, section.instance), None)
        if found is None:
            raise WireError(f"section '{section.name}' {section.instance} is not described")
        if found.version not in (None, section.version):
            raise WireError(
                f"section '{section.name}' has version {section.version}, "
                f"and {found.version} in the description"
            )
        return found

    def check_complete(self) -> None:
        """Raise WireError when a device is left whose section was not taken."""
        for name, instance in self._missing:
            raise WireError(f"section '{name}' {instance} is described and not there")


class Found(NamedTuple):
    """A description, the offset of the EOF before it, and that of its end."""

    offset: int
    end: int
    description: Description


class Search:
    """Finds the description in bytes that may still grow, looking at each only once.

    Device sections cannot be read without it, so nobody knows beforehand where it begins.
    """

    def __init__(self, start: int = 0) -> None:
        """Look from `start` on, where a section or EOF begins."""
        self._next = start
        self._candidates: list[tuple[int, int]] = []

    def look(self, data: bytes | bytearray | mmap.mmap) -> Found | None:
        """Return what `data` holds; None if it is not (all) there yet."""
        for match in _CANDIDATE.finditer(data, self._next):
            offset = match.start()
            self._candidates.append((offset, offset + _HEAD_SIZE + int.from_bytes(match[1])))
            self._next = offset + 1
        self._next = max(self._next, len(data) - _CANDIDATE_SIZE + 1)
        complete = [each for each in self._candidates if each[1] <= len(data)]
        self._candidates = [each for each in self._candidates if each[1] > len(data)]
        for offset, end in complete:
            if (value := _json(bytes(data[offset + _HEAD_SIZE : end]))) is not None:
                return Found(offset, end, _description(value))
        return None


def parse(raw: bytes) -> Description:
    """Return what `raw` describes. Raises WireError when it is not a description."""
    value = _json(raw)
    if value is None:
        raise WireError("the description of the devices is not JSON")
    return _description(value)


def _json(raw: bytes) -> dict[str, Any] | None:
    """Return an object with devices, or None."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and "devices" in value else None


def _description(value: dict[str, Any]) -> Description:
    devices = {}
    for each in _list(value, "devices"):
        key = _text(each, "name"), _number(each, "instance_id")
        if key in devices:
            raise WireError(f"the description has device {key[0]!r} {key[1]} twice")
        if "fields" not in each:
            raise WireError(f"the description of device {key[0]!r} has no fields")
        devices[key] = _struct(each, key[0])
    configuration = value.get("configuration")
    return Description(
        _number(value, "page_size"),
        None if configuration is None else _struct(configuration, "configuration"),
        devices,
    )


def _struct(value: dict[str, Any], where: str) -> Struct:
    name = _text(value, "vmsd_name") if "vmsd_name" in value else ""
    fields = tuple(_field(each, where) for each in _list(value, "fields"))
    subsections = _list(value, "subsections") if "subsections" in value else []
    return Struct(
        name,
        _number(value, "version") if "version" in value else None,
        fields,
        tuple(_struct(each, f"{where}, {name}") for each in subsections),
    )


def _field(value: dict[str, Any], where: str) -> Field:
    name, type_ = _text(value, "name"), _text(value, "type")
    where = f"{where}, {name}"
    inner = value if type_ in _INLINE else value.get("struct")
    # A null pointer among structs has no fields and one byte.
    inner = inner if isinstance(inner, dict) and "fields" in inner else None
    found = None if inner is None else _struct(inner, where)
    size = _number(value, "size")
    if found is not None and found.size != size:
        raise WireError(f"the description of {where} adds up to {found.size} bytes, not {size}")
    number = _number(value, "array_len") if "array_len" in value else 1
    return Field(name, type_, size, number, found)


def _list(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise WireError(f"the description has no list of objects {name!r} where one belongs")
    return found


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise WireError(f"the description has no text {name!r} where one belongs")
    return found


def _number(value: dict[str, Any], name: str) -> int:
    found = value.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise WireError(f"the description has no number {name!r} where one belongs")
    return found
