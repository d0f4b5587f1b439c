"""The values in a device's section, read as the description says.

QEMU: migration/vmstate-types.c
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, Union

from qemu_sim.errors import WireError
from qemu_sim.wire import vmstream
from qemu_sim.wire.vmdescription import Field, Struct

Value: TypeAlias = Union[int, str, bytes, "Values", "list[Value]"]
"""Bytes where nothing more is known of them; a list where one field has several values."""

_SIGNED = ("int8", "int16", "int32", "int64", "timer")
_UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
_NULL = b"0"


class Values(NamedTuple):
    """The fields of one struct, and its subsections."""

    fields: list[tuple[Field, Value]]
    subsections: list[tuple[Struct, Values]]


async def read_values(reader: vmstream.Reader, struct: Struct) -> Values:
    """Read what `struct` describes. Raises WireError where something else stands."""
    fields = [(field, await _read_field(reader, field)) for field in struct.fields]
    subsections = []
    for described in struct.subsections:
        kind = await vmstream.read_byte(reader)
        if kind != vmstream.SUBSECTION:
            raise WireError(f"subsection '{described.name}' is described, 0x{kind:x} found")
        head = await vmstream.read_subsection(reader)
        if head != (described.name, described.version):
            raise WireError(f"subsection '{described.name}' is described, '{head.name}' found")
        subsections.append((described, await read_values(reader, described)))
    return Values(fields, subsections)


async def _read_field(reader: vmstream.Reader, field: Field) -> Value:
    values = [await _read_element(reader, field) for _ in range(field.number)]
    return values[0] if field.number == 1 else values


async def _read_element(reader: vmstream.Reader, field: Field) -> Value:
    if field.struct is not None:
        return await read_values(reader, field.struct)
    return _decode(field, await reader.read(field.size))


def _decode(field: Field, raw: bytes) -> Value:
    kind, _, variant = field.type.partition(" ")
    if kind in _SIGNED or kind in _UNSIGNED:
        return int.from_bytes(raw[::-1] if variant == "le" else raw, signed=kind in _SIGNED)
    if kind == "bool":
        return any(raw)
    if kind == "capability":
        return raw[1:].decode(errors="replace")
    if kind == "nullptr" and raw != _NULL:
        raise WireError(f"field '{field.name}' is described as a null pointer and is none")
    return raw
