"""Commands among the sections of a migration stream, and the messages of the return path.

QEMU: migration/savevm.h (enum qemu_vm_cmd), migration/migration.h (enum mig_rp_message_type)

Either is u16 code, u16 size and data. The codes of offer, commit and abort lie outside those
QEMU uses, so a real QEMU refuses them by number.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from qemu_sim.errors import WireError
from qemu_sim.wire import vmstream

COMMAND_OPEN_RETURN_PATH = 1
COMMAND_PING = 2
COMMAND_POSTCOPY_ADVISE = 3
COMMAND_POSTCOPY_LISTEN = 4
COMMAND_POSTCOPY_RUN = 5
COMMAND_POSTCOPY_RAM_DISCARD = 6
COMMAND_PACKAGED = 7
COMMAND_ENABLE_COLO = 8
COMMAND_POSTCOPY_RESUME = 9
COMMAND_RECV_BITMAP = 10
COMMAND_SWITCHOVER_START = 11
RETURN_SHUT = 1
RETURN_PONG = 2
RETURN_RESUME_ACK = 6
RETURN_SWITCHOVER_ACK = 7

COMMAND_OFFER = 0x5301
COMMAND_COMMIT = 0x5302
COMMAND_ABORT = 0x5303
REPLY_ANSWER = 0x5311
REPLY_READY = 0x5312
REPLY_STARTED = 0x5313
REPLY_REFUSED = 0x531F

COMMANDS = {
    COMMAND_OPEN_RETURN_PATH: "open-return-path",
    COMMAND_PING: "ping",
    COMMAND_POSTCOPY_ADVISE: "postcopy-advise",
    COMMAND_POSTCOPY_LISTEN: "postcopy-listen",
    COMMAND_POSTCOPY_RUN: "postcopy-run",
    COMMAND_POSTCOPY_RAM_DISCARD: "postcopy-ram-discard",
    COMMAND_PACKAGED: "packaged",
    COMMAND_ENABLE_COLO: "enable-colo",
    COMMAND_POSTCOPY_RESUME: "postcopy-resume",
    COMMAND_RECV_BITMAP: "recv-bitmap",
    COMMAND_SWITCHOVER_START: "switchover-start",
}
REPLIES = {
    RETURN_SHUT: "shut",
    RETURN_PONG: "pong",
    RETURN_RESUME_ACK: "resume-ack",
    RETURN_SWITCHOVER_ACK: "switchover-ack",
}
# Ours, in either direction: their data is u32 length and JSON.
NAMES = {
    COMMAND_OFFER: "offer",
    COMMAND_COMMIT: "commit",
    COMMAND_ABORT: "abort",
    REPLY_ANSWER: "answer",
    REPLY_READY: "ready",
    REPLY_STARTED: "started",
    REPLY_REFUSED: "refused",
}

MESSAGE_MAX = 1 << 20  # bytes of JSON in one message; an offer takes about 200 a device
_TIME_MAX = (1 << 63) - 1
_SIZE = 4  # bytes of ours beside the JSON: its length
_FRAME = struct.Struct(">HH")


class Message(NamedTuple):
    """A command, or a message on the return path: one of ours has a body, QEMU's have data."""

    code: int
    body: dict[str, Any]
    data: bytes = b""


def time_in(body: dict[str, Any], name: str) -> int | None:
    """Return a time that a message tells, in whichever unit; None for what can be none.

    Nothing hangs on it but a report, so that a peer's nonsense is no error.
    """
    value = body.get(name)
    return value if isinstance(value, int) and 0 <= value <= _TIME_MAX else None


def frame(code: int, data: bytes) -> bytes:
    """Return one of QEMU's messages of the return path; behind COMMAND it is a command."""
    return _FRAME.pack(code, len(data)) + data


def command(code: int, body: dict[str, Any]) -> bytes:
    """Return a command for the destination."""
    return bytes([vmstream.COMMAND]) + reply(code, body)


def reply(code: int, body: dict[str, Any]) -> bytes:
    """Return a message for the return path. Raises WireError when it is too long."""
    data = vmstream.state(body)
    size = len(data) - _SIZE
    if size > MESSAGE_MAX:
        raise WireError(f"message of {size} bytes exceeds {MESSAGE_MAX}")
    return _FRAME.pack(code, _SIZE) + data


async def read_message(reader: vmstream.Reader) -> Message:
    """Read a command (after its kind) or a message of the return path."""
    code, size = _FRAME.unpack(await reader.read(_FRAME.size))
    if code not in NAMES:
        return Message(code, {}, await reader.read(size))
    if size != _SIZE:
        raise WireError(f"malformed message 0x{code:x} of {size} bytes")
    return Message(code, await vmstream.read_state(reader, MESSAGE_MAX))
