"""The lines that show what a device's section holds."""

from __future__ import annotations

from collections.abc import Iterator

from qemu_sim.wire.vmdescription import Field
from qemu_sim.wire.vmfields import Value, Values

_SHOWN = 32  # bytes in hexadecimal
_LISTED = 8  # values of an array
_DESCRIPTOR = "fd"  # our type of field: the byte on which one travels


def lines(values: Values) -> Iterator[str]:
    """Yield the fields, then the subsections, parts indented."""
    for field, value in values.fields:
        yield from _field(field, value)
    for struct, inner in values.subsections:
        yield f"{struct.name}, version {struct.version}:"
        yield from _indented(lines(inner))


def descriptors(values: Values) -> int:
    """Return how many descriptors travelled with the section."""
    return sum(field.number for field, _ in values.fields if field.type == _DESCRIPTOR)


def text(raw: bytes) -> str:
    """Return bytes as text, if they are one, or else the first of them in hexadecimal."""
    if raw and not any(raw):
        return f"{len(raw)} bytes of 0"
    stripped = raw.rstrip(b"\0")
    if stripped.isascii() and stripped.decode("ascii").isprintable():
        return repr(stripped.decode("ascii"))
    more = f" … ({len(raw)} bytes)" if len(raw) > _SHOWN else ""
    return raw[:_SHOWN].hex(" ") + more


def _field(field: Field, value: Value) -> Iterator[str]:
    if field.type == _DESCRIPTOR:
        yield f"{field.name}: a descriptor"
    elif isinstance(value, Values):
        yield f"{field.name}:"
        yield from _indented(lines(value))
    elif isinstance(value, list) and field.struct is not None:
        yield from _structs(field, value)
    elif isinstance(value, list):
        yield f"{field.name}: {_array(field, value)}"
    else:
        yield f"{field.name}: {_scalar(field, value)}"


def _structs(field: Field, elements: list[Value]) -> Iterator[str]:
    for index, element in enumerate(elements):
        yield f"{field.name}[{index}]:"
        assert isinstance(element, Values)
        yield from _indented(lines(element))


def _array(field: Field, elements: list[Value]) -> str:
    if elements.count(elements[0]) == len(elements):
        return f"{len(elements)} times {_scalar(field, elements[0])}"
    shown = " ".join(_scalar(field, each) for each in elements[:_LISTED])
    return shown + (f" … ({len(elements)})" if len(elements) > _LISTED else "")


def _scalar(field: Field, value: Value) -> str:
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, int) and field.type.startswith("uint"):
        return f"0x{value:x}"
    return str(value)


def _indented(inner: Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in inner)
