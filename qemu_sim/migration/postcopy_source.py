"""The source of a migration that goes on after its destination has started.

QEMU: migration/migration.c (postcopy_start, postcopy_pause, postcopy_do_resume),
docs/devel/migration/postcopy.rst

The state of the devices goes in one package, at whose end the destination runs. Our
guest's driver knows no page that comes late, so each page it uses goes before the package;
what is left is the time that copying the rest takes. A channel that breaks in that time
pauses the migration until a client brings a new one.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.clock import rest
from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.wire import vmmessage, vmstream

if TYPE_CHECKING:
    from qemu_sim.migration.outgoing import Outgoing
    from qemu_sim.migration.status import Status
    from qemu_sim.migration.stream import Stream

PAUSED_BY_USER = "Postcopy migration is paused by the user"
BROKEN = (MigrationError, WireError, OSError)
_PACKAGE_LOADED = struct.pack(">I", 0x42)  # QEMU_VM_PING_PACKAGED_LOADED

Enter = Callable[[str], Awaitable[None]]
"""Moves to a status, at which the migration may be held."""


class PostcopySource:
    """What follows the switchover to postcopy, over as many channels as it takes."""

    def __init__(
        self, outgoing: Outgoing, status: Status, enter: Enter, stop: Callable[[], Awaitable[None]]
    ) -> None:
        """`stop` stops the guest."""
        self._outgoing = outgoing
        self._status = status
        self._enter = enter
        self._stop = stop
        self._next: asyncio.Future[Callable[[], Awaitable[Stream]]] | None = None
        self._is_paused_by_user = False
        self.error: str | None = None

    async def run(self) -> None:
        """Switch over, and copy the rest until the destination has it all."""
        await self._switch_over()
        while not await self._copies_the_rest():
            await self._recover()
        self.error = None

    def pause(self) -> None:
        """Give up the channel, as a client wants it."""
        self._is_paused_by_user = True
        self._outgoing.close()

    def resume(self, connect: Callable[[], Awaitable[Stream]]) -> None:
        """Go on with the channel that `connect` makes."""
        assert self._next is not None
        self._status.move("postcopy-recover-setup")
        self._next.set_result(connect)

    async def _switch_over(self) -> None:
        outgoing, status = self._outgoing, self._status
        is_older = not status.knows("postcopy-device")  # QEMU 7.2 goes there at once
        if is_older:
            status.move("postcopy-active")
        await self._stop()
        if not is_older:
            await self._enter("device")
            await self._enter("postcopy-device")
        await outgoing.send_used_pages()
        await outgoing.send_package(Package())
        if not is_older:
            await self._enter("postcopy-active")

    async def _copies_the_rest(self) -> bool:
        try:
            await self._outgoing.finish_postcopy()
        except BROKEN as error:
            if self._outgoing.end.state == "kept":  # it has not started
                raise
            self._pause_because(error)
            return False
        return True

    async def _recover(self) -> None:
        """Wait for a channel over which the destination goes on, too."""
        while True:
            self._next = asyncio.get_running_loop().create_future()
            self._status.move("postcopy-paused")
            connect = await rest(self._outgoing.clock, self._next)
            try:
                self._outgoing.attach(await connect())
                await self._enter("postcopy-recover")
                await self._outgoing.resume()
            except (*BROKEN, QMPError) as error:
                self._pause_because(error)
                continue
            self.error = None
            await self._enter("postcopy-active")
            return

    def _pause_because(self, error: Exception) -> None:
        self._outgoing.close()
        self.error = PAUSED_BY_USER if self._is_paused_by_user else str(error)
        self._is_paused_by_user = False


class Package:
    """All that the destination needs to run, in one piece; written to like a stream."""

    carries_fds = False

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes | memoryview, fds: Any = ()) -> None:
        """Append `data`; a package carries no descriptors."""
        assert not fds, "descriptors in a package"
        self.data += data

    send_now = write

    def trace(self, direction: str, what: dict[str, Any], fds: int) -> None:
        """Tell nobody: the package is told as a whole."""

    def begin(self) -> None:
        """Have the destination get ready for pages that come later."""
        self._command(vmmessage.COMMAND_POSTCOPY_LISTEN)

    def end(self) -> None:
        """Have it say that all was loaded, and run."""
        self._command(vmmessage.COMMAND_PING, _PACKAGE_LOADED)
        self._command(vmmessage.COMMAND_POSTCOPY_RUN)

    def _command(self, code: int, data: bytes = b"") -> None:
        self.data += bytes([vmstream.COMMAND]) + vmmessage.frame(code, data)
