"""NBD, fixed newstyle: numbers, errors, and the requests and replies of the transmission.

Specification: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
QEMU: include/block/nbd.h, nbd/common.c

    S: NBDMAGIC IHAVEOPT flags u16             C: flags u32
    C: IHAVEOPT option u32, length u32, data   S: MAGIC option u32, reply u32, length u32, data
       … until GO or EXPORT_NAME is answered, then
    C: MAGIC flags u16, command u16, cookie u64, offset u64, length u32 [, data]
    S: MAGIC error u32, cookie u64 [, data]                                      (simple)
    S: MAGIC flags u16, kind u16, cookie u64, length u32 [, payload]             (chunk)

All in network byte order. `nbd_server` and `nbd_client` are the two ends.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

GREETING = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_MAGIC = 0x67446698
CHUNK_MAGIC = 0x668E33EF

MAX_STRING = 4096  # bytes of a name or description
MAX_DATA = 32 << 20  # bytes of one request's data, and of one option's
PREFERRED = 4096
ALLOCATION = "base:allocation"

FIXED_NEWSTYLE, NO_ZEROES = 1, 2  # handshake flags, of both sides
PADDING = bytes(124)  # behind the answer to EXPORT_NAME, without NO_ZEROES

OPTION = struct.Struct(">8sII")
OPTION_REPLY = struct.Struct(">QIII")
REQUEST = struct.Struct(">IHHQQI")
SIMPLE = struct.Struct(">IIQ")
CHUNK = struct.Struct(">IHHQI")
U16 = struct.Struct(">H")
U32 = struct.Struct(">I")
U64 = struct.Struct(">Q")
EXPORT = struct.Struct(">QH")  # size, flags
INFO_EXPORT = struct.Struct(">HQH")
INFO_BLOCK_SIZE = struct.Struct(">HIII")
HOLE = struct.Struct(">QI")  # offset, length
EXTENT = struct.Struct(">II")  # length, state
ERROR = struct.Struct(">IH")  # error, length of the text


class Option(IntEnum):
    """What a client asks for before the transmission."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class Reply(IntEnum):
    """Answers to options."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = 1 << 31 | 1
    ERR_POLICY = 1 << 31 | 2
    ERR_INVALID = 1 << 31 | 3
    ERR_UNKNOWN = 1 << 31 | 6


ERRORS = 1 << 31  # what all errors among the replies have in common


class Info(IntEnum):
    """What an INFO reply tells."""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


class Flags(IntFlag):
    """What an export can do."""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    SEND_FLUSH = 1 << 2
    SEND_FUA = 1 << 3
    SEND_TRIM = 1 << 5
    SEND_WRITE_ZEROES = 1 << 6
    SEND_DF = 1 << 7
    CAN_MULTI_CONN = 1 << 8
    SEND_CACHE = 1 << 10
    SEND_FAST_ZERO = 1 << 11


class Command(IntEnum):
    """Requests of the transmission."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO = 1, 2, 4, 8, 16  # flags of requests
DONE = 1  # flag of a chunk: the last one


class Chunk(IntEnum):
    """Kinds of chunks of a structured reply."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    ERROR = 1 << 15 | 1
    ERROR_OFFSET = 1 << 15 | 2


CHUNK_ERRORS = 1 << 15
ZERO_HOLE = 3  # the state of an extent that takes no room and reads as zeros


class Error(IntEnum):
    """Errors as they are numbered on the wire, which is as Linux does."""

    EPERM = 1
    EIO = 5
    ENOMEM = 12
    EINVAL = 22
    ENOSPC = 28
    EOVERFLOW = 75
    ENOTSUP = 95
    ESHUTDOWN = 108


class Request(NamedTuple):
    """One request of the transmission; `data` is that of a WRITE."""

    command: int
    offset: int
    length: int
    flags: int = 0
    cookie: int = 0
    data: bytes = b""

    def encode(self) -> bytes:
        """Return the bytes."""
        header = (REQUEST_MAGIC, self.flags, self.command, self.cookie, self.offset, self.length)
        return REQUEST.pack(*header) + self.data


def text(data: bytes) -> str:
    """Return a string of the peer's, which may be anything."""
    return data.decode("utf-8", "surrogateescape")


def to_bytes(string: str) -> bytes:
    """Undo `text`."""
    return string.encode("utf-8", "surrogateescape")


def with_length(string: str) -> bytes:
    """Return a string behind its length."""
    data = to_bytes(string)
    return U32.pack(len(data)) + data
