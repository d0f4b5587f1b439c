"""What goes ahead of a migration that leaves RAM where it is: open descriptors, by name.

QEMU: migration/cpr.c (vmstate_cpr_state, vmstate_cpr_fd), migration/vmstate-types.c (put_fd)

    "QCPR" version
    { 1 length name id descriptor } …   name ends with a NUL, which its length counts
    0
    5 "CprState/vfio devices" …         a subsection; nothing in it here, and it ends the state

All integers are big-endian. On a socket a descriptor is a byte 0x20 that carries it; for a
program that this very process becomes, it is its number, 4 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qemu_sim.errors import WireError
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from qemu_sim.wire.vmstream import Reader

MAGIC = 0x51435052  # "QCPR"
VERSION = 1

_MORE = b"\1"
_END = b"\0"
_U32 = struct.Struct(">I")
_HEAD = struct.Struct(">II")
_NAME_MAX = 256
_SUBSECTION = b"CprState/vfio devices"

HEADER = _HEAD.pack(MAGIC, VERSION)
TAIL = _END + bytes([vmstream.SUBSECTION, len(_SUBSECTION)]) + _SUBSECTION + _U32.pack(1) + _END


def entry(name: str, id: int = 0) -> bytes:
    """Return what comes before a descriptor."""
    text = name.encode() + b"\0"
    return _MORE + _U32.pack(len(text)) + text + _U32.pack(id)


def number(descriptor: int) -> bytes:
    """Return a descriptor of this process as its number."""
    return _U32.pack(descriptor)


async def read_header(reader: Reader) -> None:
    """Read magic and version. Raises WireError in QEMU's words."""
    magic, version = _HEAD.unpack(await reader.read(_HEAD.size))
    if magic != MAGIC:
        raise WireError(f"Not a migration stream (bad magic {magic:x})")
    if version != VERSION:
        raise WireError(f"Unsupported migration stream version {version}")


async def read_entry(reader: Reader) -> tuple[str, int] | None:
    """Read the next descriptor's name and id; it follows itself. None at the end.

    Raises WireError in QEMU's words where the stream ends before.
    """
    with _ends_early("CprState"):
        mark = await reader.read(1)
    if mark == _END:
        return None
    with _ends_early("cpr fd"):
        size = await vmstream.read_u32(reader)
        if not 0 < size <= _NAME_MAX:
            raise WireError(f"name of {size} bytes for a descriptor")
        name = (await reader.read(size)).rstrip(b"\0").decode(errors="replace")
        return name, await vmstream.read_u32(reader)


async def read_tail(reader: Reader) -> None:
    """Read what follows the last descriptor, if anything does. Raises WireError."""
    try:
        kind = await reader.read(1)
    except WireError:  # an older QEMU ends here
        return
    if kind != TAIL[1:2] or await reader.read(len(TAIL) - 2) != TAIL[2:]:
        raise WireError("devices that were left with RAM are not simulated by qemu-sim")


async def read_number(reader: Reader) -> int:
    """Read a descriptor that is a number."""
    return await vmstream.read_u32(reader)


@contextmanager
def _ends_early(what: str) -> Iterator[None]:
    try:
        yield
    except WireError as error:
        raise WireError(f"Failed to load {what} state: stream error: -5") from error
