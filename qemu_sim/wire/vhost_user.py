"""vhost-user messages: header, payloads, and which descriptors ride along.

QEMU: docs/interop/vhost-user.rst, hw/virtio/vhost-user.c

    request u32 | flags u32 | size u32 | payload (size bytes), in native byte order

`encode` makes a message; `MessageReader` takes bytes and descriptors as they arrive and
returns whole messages. Descriptors keep the order in which they were sent, and belong
to the messages that announce some; any other number of them is a WireError.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd, close_all

VERSION = 1
REPLY = 1 << 2
NEED_REPLY = 1 << 3
_VERSION_MASK = 3
NO_FD = 1 << 8  # in the u64 of SET_VRING_KICK, _CALL, _ERR: no descriptor comes along
MAX_PAYLOAD = 4096  # the longest in use is a memory table of 32 regions, 1032 bytes
MAX_CONFIG = 256  # VHOST_USER_MAX_CONFIG_SIZE
MAX_REGIONS = 32

F_PROTOCOL_FEATURES = 1 << 30  # among the virtio features
PROTOCOL_F_MQ = 1 << 0
PROTOCOL_F_REPLY_ACK = 1 << 3
PROTOCOL_F_CONFIG = 1 << 9
PROTOCOL_F_INFLIGHT_SHMFD = 1 << 12

_HEADER = struct.Struct("=III")
_U64 = struct.Struct("=Q")
_VRING_STATE = struct.Struct("=II")
_VRING_ADDR = struct.Struct("=IIQQQQ")
_MEMORY = struct.Struct("=II")
_REGION = struct.Struct("=QQQQ")
_CONFIG = struct.Struct("=III")
_INFLIGHT = struct.Struct("=QQHH")
_INFLIGHT_PADDING = bytes(4)  # the C struct ends on a multiple of 8 bytes


class Request(IntEnum):
    """The front end's requests that are in use here, numbered as in the specification."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_LOG_FD = 7
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SET_BACKEND_REQ_FD = 21
    GET_CONFIG = 24
    SET_CONFIG = 25
    GET_INFLIGHT_FD = 31
    SET_INFLIGHT_FD = 32


_ONE_FD = {Request.SET_LOG_BASE, Request.SET_LOG_FD, Request.SET_BACKEND_REQ_FD}
_VRING_FD = {Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR}


class Message(NamedTuple):
    """One message. `fds` are the receiver's to close."""

    request: int
    flags: int
    payload: bytes
    fds: tuple[Fd, ...] = ()

    @property
    def name(self) -> str:
        """The request's name, or its number when it is none of ours."""
        return request_name(self.request)


class VringAddress(NamedTuple):
    """Where a ring lies, as addresses of the front end (see `Region.user`)."""

    vring: int
    desc: int
    used: int
    avail: int


class Region(NamedTuple):
    """A part of guest RAM: guest-physical address, bytes, front-end address, file offset."""

    guest: int
    size: int
    user: int
    offset: int


class Inflight(NamedTuple):
    """The area in which a server keeps its requests under way."""

    mmap_size: int
    mmap_offset: int
    queues: int
    queue_size: int


def request_name(request: int) -> str:
    """Return a request's name, or its number when it is none of ours."""
    try:
        return Request(request).name
    except ValueError:
        return str(request)


def encode(request: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """Return a message; `flags` are REPLY or NEED_REPLY."""
    return _HEADER.pack(request, VERSION | flags, len(payload)) + payload


class MessageReader:
    """Cuts a stream of bytes and descriptors into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fds: deque[Fd] = deque()

    @property
    def empty(self) -> bool:
        """Whether the stream stands between two messages."""
        return not self._buffer and not self._fds

    def feed(self, data: bytes, fds: Iterable[Fd] = ()) -> None:
        """Store what has arrived; `fds` belong to the reader from now on."""
        self._buffer += data
        self._fds.extend(fds)

    def next(self) -> Message | None:
        """Return the next whole message, None while there is none.

        Raises WireError on what the protocol does not allow; the stream is then useless.
        """
        if len(self._buffer) < _HEADER.size:
            return None
        request, flags, size = _HEADER.unpack_from(self._buffer)
        if flags & _VERSION_MASK != VERSION:
            raise WireError(f"vhost-user version {flags & _VERSION_MASK} is not {VERSION}")
        if size > MAX_PAYLOAD:
            raise WireError(f"{request_name(request)} of {size} bytes")
        end = _HEADER.size + size
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[_HEADER.size : end])
        count = expected_fds(request, flags, payload)
        if len(self._fds) > count and len(self._buffer) == end:
            more = len(self._fds) - count
            raise WireError(f"{more} descriptors more than {request_name(request)} takes")
        fds = self._claim(request, count)
        del self._buffer[:end]
        return Message(request, flags, payload, fds)

    def close(self) -> None:
        """Drop what is left and close its descriptors."""
        close_all(self._fds)
        self._fds.clear()
        self._buffer.clear()

    def _claim(self, request: int, count: int) -> tuple[Fd, ...]:
        if len(self._fds) < count:
            raise WireError(
                f"{request_name(request)} needs {count} descriptors, {len(self._fds)} came"
            )
        return tuple(self._fds.popleft() for _ in range(count))


def expected_fds(request: int, flags: int, payload: bytes) -> int:
    """Return how many descriptors ride on a message."""
    if flags & REPLY:
        return int(request == Request.GET_INFLIGHT_FD and decode_inflight(payload).mmap_size > 0)
    if request == Request.SET_MEM_TABLE:
        return len(decode_mem_table(payload))
    if request in _VRING_FD:
        return int(not decode_u64(payload) & NO_FD)
    return int(request in _ONE_FD or request == Request.SET_INFLIGHT_FD)


def encode_u64(value: int) -> bytes:
    """Features, an acknowledgement, or a vring index with NO_FD."""
    return _U64.pack(value)


def decode_u64(payload: bytes) -> int:
    """Undo `encode_u64`. Raises WireError on another size."""
    (value,) = _unpack(_U64, payload, "integer")
    return value


def encode_vring_state(index: int, number: int) -> bytes:
    """Index of a vring and its size, base, or 1 for enabled."""
    return _VRING_STATE.pack(index, number)


def decode_vring_state(payload: bytes) -> tuple[int, int]:
    """Undo `encode_vring_state`. Raises WireError on another size."""
    index, number = _unpack(_VRING_STATE, payload, "vring state")
    return index, number


def encode_vring_address(address: VringAddress) -> bytes:
    """Where a ring lies; no dirty log."""
    return _VRING_ADDR.pack(address.vring, 0, address.desc, address.used, address.avail, 0)


def decode_vring_address(payload: bytes) -> VringAddress:
    """Undo `encode_vring_address`. Raises WireError on another size."""
    vring, _, desc, used, avail, _ = _unpack(_VRING_ADDR, payload, "vring address")
    return VringAddress(vring, desc, used, avail)


def encode_mem_table(regions: Sequence[Region]) -> bytes:
    """All of guest RAM; one descriptor a region rides along, in this order."""
    return _MEMORY.pack(len(regions), 0) + b"".join(_REGION.pack(*region) for region in regions)


def decode_mem_table(payload: bytes) -> list[Region]:
    """Undo `encode_mem_table`. Raises WireError when count and size disagree."""
    if len(payload) < _MEMORY.size:
        raise WireError(f"memory table of {len(payload)} bytes")
    count, _ = _MEMORY.unpack_from(payload)
    # Some front ends always send room for eight regions, so more bytes are no error.
    if not 0 < count <= MAX_REGIONS or len(payload) < _MEMORY.size + count * _REGION.size:
        raise WireError(f"memory table of {len(payload)} bytes for {count} regions")
    starts = range(_MEMORY.size, _MEMORY.size + count * _REGION.size, _REGION.size)
    return [Region(*_REGION.unpack_from(payload, start)) for start in starts]


def encode_config(offset: int, data: bytes) -> bytes:
    """Part of the device's configuration space; a question carries zeros of that length."""
    return _CONFIG.pack(offset, len(data), 0) + data


def decode_config(payload: bytes) -> tuple[int, bytes]:
    """Return offset and bytes. Raises WireError when a size is wrong."""
    if len(payload) < _CONFIG.size:
        raise WireError(f"configuration space of {len(payload)} bytes")
    offset, size, _ = _CONFIG.unpack_from(payload)
    data = payload[_CONFIG.size :]
    if size > MAX_CONFIG or size != len(data):
        raise WireError(f"configuration space of {size} bytes with {len(data)} bytes of data")
    return offset, data


def encode_inflight(inflight: Inflight) -> bytes:
    """Geometry of the inflight area; its descriptor rides along once it exists."""
    return _INFLIGHT.pack(*inflight) + _INFLIGHT_PADDING


def decode_inflight(payload: bytes) -> Inflight:
    """Undo `encode_inflight`, with or without the padding. Raises WireError on another size."""
    if len(payload) not in (_INFLIGHT.size, _INFLIGHT.size + len(_INFLIGHT_PADDING)):
        raise WireError(f"inflight description of {len(payload)} bytes")
    return Inflight(*_INFLIGHT.unpack_from(payload))


def _unpack(layout: struct.Struct, payload: bytes, what: str) -> tuple[int, ...]:
    if len(payload) != layout.size:
        raise WireError(f"{what} of {len(payload)} bytes instead of {layout.size}")
    return layout.unpack(payload)
