"""The two directions of a migration channel: the messages among the bytes.

QEMU: migration/savevm.c (qemu_savevm_command_send), migration/migration.c
(migrate_send_rp_message)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError, WireError
from qemu_sim.migration.qemu_file import QEMUFile
from qemu_sim.wire import vmmessage, vmstream
from qemu_sim.wire.bytes_reader import BytesReader, run

if TYPE_CHECKING:
    from qemu_sim.io.any_channel import AnyChannel

_FAILED = vmmessage.frame(vmmessage.RETURN_SHUT, b"\0\0\0\1")
_LAST_WORDS = {
    vmmessage.REPLY_REFUSED: "",
    vmmessage.COMMAND_ABORT: "the source took it back: ",
}


class PeerFailedError(MigrationError):
    """The peer has said, in words, that it does not go on."""


Trace = Callable[[str, dict[str, Any], int], None]
"""Told "in" or "out", what passed, and how many descriptors came with it."""


class Stream(QEMUFile):
    """One migration channel. Every wait ends after `timeout` seconds without progress."""

    def __init__(self, channel: AnyChannel, timeout: float, trace: Trace) -> None:
        """Take ownership of `channel`; `trace` is told what passes."""
        super().__init__(channel, timeout)
        self.trace = trace

    def command(self, code: int, body: dict[str, Any]) -> None:
        """Send a command of ours to the destination."""
        self.trace("out", {vmmessage.NAMES[code]: body}, 0)
        self.write(vmmessage.command(code, body))

    def reply(self, code: int, body: dict[str, Any]) -> None:
        """Send a message of ours on the return path."""
        self.trace("out", {vmmessage.NAMES[code]: body}, 0)
        self.write(vmmessage.reply(code, body))

    def qemu_command(self, code: int, data: bytes = b"") -> None:
        """Send a command of QEMU's to the destination."""
        self.trace("out", {vmmessage.COMMANDS[code]: data.hex()}, 0)
        self.write(bytes([vmstream.COMMAND]) + vmmessage.frame(code, data))

    def qemu_reply(self, code: int, data: bytes = b"") -> None:
        """Send a message of QEMU's on the return path."""
        self.trace("out", {vmmessage.REPLIES[code]: data.hex()}, 0)
        self.write(vmmessage.frame(code, data))

    async def flush_words(self) -> None:
        """Flush what a peer that is gone need not hear: its own last word is read next."""
        try:
            await self.flush()
        except MigrationError:
            if not self.ended:
                raise

    async def read_command(self) -> vmmessage.Message:
        """Read a command, after its kind."""
        message = await vmmessage.read_message(self)
        self.trace_command(message)
        return message

    async def read_reply(self) -> vmmessage.Message:
        """Read a message of the return path."""
        message = await vmmessage.read_message(self)
        self._trace_message(message, vmmessage.REPLIES)
        return message

    def trace_command(self, message: vmmessage.Message) -> None:
        """Tell that a command came."""
        self._trace_message(message, vmmessage.COMMANDS)

    async def end_writing(self, seconds: float) -> bytes:
        """Let the peer read to the end; return what it says of that, empty for nothing.

        A peer that says nothing is waited for until it hangs up, at most `seconds`.
        Raises MigrationError when it hung up without having read everything.
        """
        if self._socket is None:  # what a program says is not meant for us
            return b""
        self._channel.shut_down_writing()
        self._channel.start_reading()
        try:
            async with asyncio.timeout(seconds):
                return (await self.read_reply()).data
        except TimeoutError:
            return b""
        except MigrationError:
            if self.torn:
                raise
            return b""

    @property
    def was_refused(self) -> bool:
        """Whether the last thing that came and was not read is that the peer has failed."""
        return self._buffer.endswith(_FAILED)

    def last_word(self) -> MigrationError | None:
        """What the peer said before it left, if it did; better than "broken pipe"."""
        message = _last_message(bytes(self._buffer))
        return None if message is None else said(message)

    def _trace_message(self, message: vmmessage.Message, names: dict[int, str]) -> None:
        name = vmmessage.NAMES.get(message.code) or names.get(message.code, hex(message.code))
        self.trace("in", {name: message.body or message.data.hex()}, 0)


def said(message: vmmessage.Message) -> PeerFailedError:
    """Return the error that a peer's last message is about."""
    return PeerFailedError(f"{_LAST_WORDS[message.code]}{message.body.get('reason')}")


def _last_message(data: bytes) -> vmmessage.Message | None:
    """Find a complete last message at the end of what was not read."""
    at = max(data.rfind(vmmessage.reply(code, {})[:4]) for code in _LAST_WORDS)
    if at < 0:
        return None
    try:
        return run(vmmessage.read_message(BytesReader(data[at:])))
    except WireError:
        return None
