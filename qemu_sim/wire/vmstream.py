"""The migration stream: its sections; vmmessage.py has what stands between them.

QEMU: migration/savevm.c (framing), migration/ram.c (pages)

    magic version                          once
    CONFIGURATION len machine-type         once
    COMMAND open-return-path, ping         with a return path only
    COMMAND offer                          with a hand-over only; answered on the return path
    START "ram" … FOOTER                   RAM, in parts
    FULL idstr … FOOTER                    a device, or a backend and its descriptors
    END "ram" … FOOTER
    EOF
    VMDESCRIPTION len json                 what the sections held
    COMMAND commit | abort                 with a hand-over only; after `ready` on the return path

A descriptor rides on one byte 0x20 of its own. All integers are big-endian.
"""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from qemu_sim.errors import LoadError, WireError

MAGIC = 0x5145564D  # "QEVM"
VERSION = 3

EOF = 0x00
START = 0x01
PART = 0x02
END = 0x03
FULL = 0x04
SUBSECTION = 0x05
VMDESCRIPTION = 0x06
CONFIGURATION = 0x07
COMMAND = 0x08
FOOTER = 0x7E

FD_BYTE = b"\x20"

STATE_MAX = 16 << 20  # bytes of JSON in one section
_NAME_MAX = 4096
_RUN_STATE_SIZE = 100  # bytes; migration/global_state.c
_SLEPT_AT = 32

HEADER = struct.pack(">II", MAGIC, VERSION)
_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes a new one each time
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_SECTION_TAIL = struct.Struct(">II")


class Reader(Protocol):
    """Where a stream is read from; `read` gives exactly `size` bytes or raises."""

    async def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""


class Section(NamedTuple):
    """The head of one section; its payload and footer follow in the stream."""

    kind: int
    id: int
    name: str
    instance: int
    version: int


class Subsection(NamedTuple):
    """The head of a part that only some streams have."""

    name: str
    version: int


def configuration(machine_type: str, subsections: Iterable[bytes] = ()) -> bytes:
    """Return the section that names the machine type; `subsections` follow in QEMU's order."""
    name = machine_type.encode()
    return bytes([CONFIGURATION]) + _U32.pack(len(name)) + name + b"".join(subsections)


def subsection(name: str, version: int, payload: bytes) -> bytes:
    """Return a subsection, which may stand where its section ends."""
    text = name.encode()
    return bytes([SUBSECTION, len(text)]) + text + _U32.pack(version) + payload


def section_start(section: Section) -> bytes:
    """Return the head of a START or FULL section."""
    name = section.name.encode()
    head = bytes([section.kind]) + _U32.pack(section.id) + bytes([len(name)]) + name
    return head + _SECTION_TAIL.pack(section.instance, section.version)


def section_part(kind: int, section_id: int) -> bytes:
    """Return the head of a PART or END section."""
    return bytes([kind]) + _U32.pack(section_id)


def footer(section_id: int) -> bytes:
    """Return what closes any section."""
    return bytes([FOOTER]) + _U32.pack(section_id)


def global_state(run_state: str, *, asleep: bool) -> bytes:
    """Return the payload of "globalstate": u32 size, terminator included, and 100 bytes.

    Of these the first 32 are the text; two more say whether a stopped guest was `asleep`,
    where one was, as QEMU does it since 9.0.
    """
    text = run_state.encode() + b"\0"
    slept = text.ljust(_SLEPT_AT, b"\0") + bytes([1, 1]) if asleep else text
    return _U32.pack(len(text)) + slept.ljust(_RUN_STATE_SIZE, b"\0")


async def read_global_state(reader: Reader) -> tuple[str, bool]:
    """Read the payload of "globalstate"; returns the run state's name, and `asleep`."""
    size = await read_u32(reader)
    text = await reader.read(_RUN_STATE_SIZE)
    if not 0 < size <= _RUN_STATE_SIZE:
        raise WireError(f"Received invalid runstate of {size} bytes")
    return _decode(text[: size - 1]), text[_SLEPT_AT : _SLEPT_AT + 2] == b"\1\1"


def state(value: dict[str, Any]) -> bytes:
    """Return a section's payload: u32 length and JSON."""
    text = _encode(value).encode()
    return _U32.pack(len(text)) + text


def description(configuration: dict[str, Any], devices: list[dict[str, Any]]) -> bytes:
    """Return the closing JSON description of what the sections held."""
    text = _encode({**configuration, "page_size": 4096, "devices": devices}).encode()
    return bytes([VMDESCRIPTION]) + _U32.pack(len(text)) + text


async def read_header(reader: Reader) -> None:
    """Read magic and version. Raises WireError in QEMU's words."""
    magic, version = struct.unpack(">II", await reader.read(8))
    if magic != MAGIC:
        text = "Not a migration stream"
        raise LoadError(f"{text}, magic: {magic:x} != {MAGIC:x}", older=text)
    if version != VERSION:
        text = "Unsupported migration stream version"
        raise LoadError(
            f"{text}, file version {version} != {VERSION}", older=text, number=errno.ENOTSUP
        )


async def read_u32(reader: Reader) -> int:
    """Read one u32."""
    value: int = _U32.unpack(await reader.read(4))[0]
    return value


async def read_u16(reader: Reader) -> int:
    """Read one u16."""
    return int.from_bytes(await reader.read(2))


async def read_u64(reader: Reader) -> int:
    """Read one u64."""
    return int.from_bytes(await reader.read(8))


async def read_byte(reader: Reader) -> int:
    """Read one byte."""
    return (await reader.read(1))[0]


async def read_text(reader: Reader) -> str:
    """Read a u32 length and that much text. Raises WireError when it is unreasonable."""
    size = await read_u32(reader)
    if size > _NAME_MAX:
        raise WireError(f"name of {size} bytes in the migration stream")
    return _decode(await reader.read(size))


async def read_short_text(reader: Reader) -> str:
    """Read a length of one byte and that much text."""
    return _decode(await reader.read(await read_byte(reader)))


async def read_section(reader: Reader, kind: int) -> Section:
    """Read the head of a START or FULL section, after its kind."""
    section_id = await read_u32(reader)
    name = await read_short_text(reader)
    instance, version = _SECTION_TAIL.unpack(await reader.read(_SECTION_TAIL.size))
    return Section(kind, section_id, name, instance, version)


async def read_subsection(reader: Reader) -> Subsection:
    """Read the head of a subsection, after its kind."""
    name = await read_short_text(reader)
    return Subsection(name, await read_u32(reader))


async def read_footer(reader: Reader, section: Section) -> None:
    """Read what closes `section`. Raises WireError in QEMU's words."""
    mark = await read_byte(reader)
    if mark != FOOTER:
        raise _footer_error(section, f"Missing section footer for {section.name}")
    section_id = await read_u32(reader)
    if section_id != section.id:
        raise _footer_error(
            section,
            f"Mismatched section id in footer for {section.name} - "
            f"read 0x{section_id:x} expected 0x{section.id:x}",
        )


async def read_state(reader: Reader, maximum: int = STATE_MAX) -> dict[str, Any]:
    """Read a u32 length and a JSON object. Raises WireError when it is not one."""
    size = await read_u32(reader)
    if size > maximum:
        raise WireError(f"state of {size} bytes exceeds {maximum}")
    return _object(await reader.read(size))


def unknown_kind(kind: int) -> LoadError:
    """Return the error about what cannot begin anything in a stream."""
    return LoadError(f"Unknown section type {kind}", older=f"Unknown savevm section type {kind}")


def unknown_id(section_id: int) -> LoadError:
    """Return the error about a part of a section that never began."""
    return LoadError(f"Unknown section {section_id}", older=f"Unknown savevm section {section_id}")


def _footer_error(section: Section, printed: str) -> LoadError:
    return LoadError(f"Section footer error, section_id: {section.id}", printed=printed)


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise WireError(f"name in the migration stream is not text: {raw[:32]!r}") from None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise WireError(f"not JSON in the migration stream: {raw[:32]!r}") from None
    if not isinstance(value, dict):
        raise WireError(f"not an object in the migration stream: {raw[:32]!r}")
    return value
