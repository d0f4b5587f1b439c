"""The source's side of QEMU's own migration: a stream, and a return path if that is on.

QEMU: migration/migration.c (source_return_path_thread), migration/savevm.h (MIG_CMD_*)

With the capability `return-path` the source hears that the destination is there before it
stops, and that it has started before it is completed. An explicit "failed" is a way back,
because such a destination has not started. When the word is lost, nobody can know: the
source holds what it has, stopped.

Without it the stream may go into a file or a pipe, and as in QEMU the source is completed
when all is written. A destination of ours that fails says so all the same before it
closes, and a source of ours listens for a moment, so that mostly neither is lost.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NoReturn

from qemu_sim.errors import MigrationError, WireError
from qemu_sim.migration.ownership import ONE_WAY, RETURN_PATH, End
from qemu_sim.wire import vmmessage

if TYPE_CHECKING:
    from qemu_sim.migration.capabilities import Capabilities
    from qemu_sim.migration.stream import Stream

_PING = 1  # any number; it comes back
_PAGE_SIZES = struct.pack(">QQ", 4096, 4096)  # of the host, as a sum of all kinds; of the guest
_U32 = struct.Struct(">I")
_FAILED = "Unable to write to socket: Broken pipe"  # what QEMU's source says of such an end
_EARLY_SECONDS = 0.002  # a destination that refuses the configuration does it at once
_LATE_SECONDS = 0.5  # loading what little state there is takes a few milliseconds


class Plain:
    """What a source says beside the state, and hears, when nothing was negotiated."""

    ram_travels = False

    def __init__(self, capabilities: Capabilities, stream: Stream) -> None:
        self._stream = stream
        self._has_postcopy = capabilities.enabled("postcopy-ram")
        wants_return_path = capabilities.enabled("return-path") or self._has_postcopy
        self._has_return_path = stream.duplex and wants_return_path
        self._awaits_ack = capabilities.enabled("switchover-ack")
        self.end = End((RETURN_PATH if self._has_return_path else ONE_WAY).source)

    def attach(self, stream: Stream) -> None:
        """Go on over a new channel."""
        self._stream = stream

    async def open(self) -> None:
        """Ask for the return path, and for a sign of life on it."""
        stream = self._stream
        if self._has_return_path:
            stream.qemu_command(vmmessage.COMMAND_OPEN_RETURN_PATH)
            stream.qemu_command(vmmessage.COMMAND_PING, _U32.pack(_PING))
        elif self._has_postcopy:
            raise MigrationError("Unable to open return-path for postcopy")
        else:
            stream.write_only()
        if self._has_postcopy:
            stream.qemu_command(vmmessage.COMMAND_POSTCOPY_ADVISE, _PAGE_SIZES)
        await stream.flush()

    async def before_stop(self) -> None:
        """Make sure that the destination wants the machine. Raises MigrationError if not."""
        stream = self._stream
        await stream.flush()
        if self._has_return_path:
            await self._expect(vmmessage.RETURN_PONG, "the destination to answer a ping")
            if self._awaits_ack:
                await self._expect(vmmessage.RETURN_SWITCHOVER_ACK, "the switchover-ack")
        elif await stream.peer_is_gone(_EARLY_SECONDS):
            raise MigrationError(_FAILED)

    def end_state(self) -> None:
        """Give the machine away: with the last byte, the destination has all it needs."""
        self.end.step("!all")

    async def finish(self, stopped_at_ns: int | None) -> None:
        """Wait for the destination's last word, as far as it has one."""
        del stopped_at_ns  # nobody asks
        await self._flush()
        if self._has_return_path:
            await self._expect(vmmessage.RETURN_SHUT, "the destination to start")
            self.end.hear("shut")
        else:
            await self._last_moment()
            self.end.step("end")

    async def send_package(self, package: bytes) -> None:
        """Send all that the destination needs to run, and hear that it was loaded."""
        stream = self._stream
        await stream.flush()
        self.end.step("!package")
        stream.qemu_command(vmmessage.COMMAND_PACKAGED, _U32.pack(len(package)))
        stream.write(package)
        await self._flush()
        await self._expect(vmmessage.RETURN_PONG, "the destination to load the package")
        self.end.hear("loaded")

    async def resume(self) -> None:
        """Take up a postcopy migration again, on a new channel."""
        self._stream.qemu_command(vmmessage.COMMAND_POSTCOPY_RESUME)
        await self._stream.flush()
        what = "the destination to resume"
        self._check(await self._reply(what), vmmessage.RETURN_RESUME_ACK, what)

    def abort(self, reason: str) -> None:
        """Say nothing: the end of the stream is enough."""

    async def _flush(self) -> None:
        """Send the last of it. Where that breaks, the destination never gets it."""
        try:
            await self._stream.flush()
        except MigrationError:
            self._stream.close()  # not a byte of it goes out later
            self._torn()
            raise

    async def _last_moment(self) -> None:
        """Give a destination of ours the time to say that it failed."""
        try:
            body = await self._stream.end_writing(_LATE_SECONDS)
        except (MigrationError, OSError):
            self._torn()
            raise
        if any(body):
            self._failed()

    async def _expect(self, code: int, what: str) -> None:
        message = await self._reply(what)
        if message.code == vmmessage.RETURN_SHUT and any(message.data):
            self._failed()
        self._check(message, code, what)

    async def _reply(self, what: str) -> vmmessage.Message:
        self._stream.phase = what
        return await self._stream.read_reply()

    def _check(self, message: vmmessage.Message, code: int, what: str) -> None:
        if message.code != code:
            raise WireError(f"message 0x{message.code:x} where {what} was expected")

    def _torn(self) -> None:
        if self.end.knows("torn"):
            self.end.step("torn")

    def _failed(self) -> NoReturn:
        """The destination has not started, and never will."""
        if self.end.knows("?failed"):
            self.end.hear("failed")
        raise MigrationError(_FAILED)
