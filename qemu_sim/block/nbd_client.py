"""The client's end of one NBD connection: its socket, and who waits for which answer.

QEMU: block/nbd.c, nbd/client-connection.c

How long to wait for a server is real time, whatever the machine's clock says.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError, WireError
from qemu_sim.fds import Fd, close_all
from qemu_sim.io import sockets
from qemu_sim.io.channel import Channel
from qemu_sim.wire.nbd_client import ClientSession

if TYPE_CHECKING:
    from qemu_sim.io.address import StreamAddress
    from qemu_sim.wire.nbd import Command

_FIRST_DELAY, _LONGEST_DELAY = 1, 16  # seconds; nbd/client-connection.c
_LOST = "Input/output error"


class NbdClient:
    """A connection to one export. It is made again when it was lost, unless it was yanked."""

    def __init__(self, address: StreamAddress, export: str, reconnect_seconds: int) -> None:
        """`reconnect_seconds`: how long requests wait for a server that is gone."""
        self._address = address
        self._export = export
        self._patience = reconnect_seconds
        self._session = ClientSession(export)
        self._channel: Channel | None = None
        self._opened: asyncio.Future[None] | None = None
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._connecting = asyncio.Lock()
        self._yanked = False

    @property
    def session(self) -> ClientSession:
        """What is known of the export."""
        return self._session

    async def open(self, seconds: int) -> None:
        """Connect, and try again for so long. Raises QMPError in QEMU's words."""
        loop, delay = asyncio.get_running_loop(), _FIRST_DELAY
        end = loop.time() + seconds
        while True:
            try:
                await self._connect()
            except QMPError:
                if self._yanked or loop.time() + delay > end:
                    raise
            else:
                return
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    async def request(
        self, command: Command, offset: int = 0, length: int = 0, data: bytes = b""
    ) -> bytes:
        """Ask the server for something and return what it reads. Raises QMPError."""
        while True:
            await self._reconnect()
            cookie = self._session.request(command, offset, length, data)
            answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._waiting[cookie] = answer
            self._send()
            try:
                return await answer
            except ConnectionError:
                if not self._patience or self._yanked:
                    raise QMPError(_LOST) from None

    def yank(self) -> None:
        """Cut the connection for good."""
        self._yanked = True
        self._lose()

    def close(self) -> None:
        """Say goodbye."""
        if self._channel is not None and self._session.is_open:
            self._session.disconnect()
            self._send()
        self.yank()

    async def _reconnect(self) -> None:
        async with self._connecting:
            if self._channel is not None:
                return
            if self._yanked:
                raise QMPError(_LOST)
            try:
                await self.open(self._patience)
            except QMPError:
                raise QMPError(_LOST) from None

    async def _connect(self) -> None:
        sock = await sockets.connect(self._address)
        self._session = ClientSession(self._export)
        self._channel = channel = Channel(sock)
        channel.on_data = self._data
        channel.on_close = lambda _: self._lose()
        channel.start_reading()
        self._opened = asyncio.get_running_loop().create_future()
        try:
            await self._opened
        except ConnectionError:
            raise QMPError("The server hung up before the export was open") from None
        except BaseException:
            self._lose()
            raise

    def _data(self, data: bytes, fds: list[Fd]) -> None:
        close_all(fds)
        try:
            answers = self._session.receive(data)
        except (QMPError, WireError) as error:
            self._fail(error)
            return
        self._send()
        if self._session.is_open and self._opened is not None and not self._opened.done():
            self._opened.set_result(None)
        for cookie, number, found in answers:
            answer = self._waiting.pop(cookie)
            if answer.done():
                continue  # who asked has been cancelled
            if number:
                answer.set_exception(QMPError(os.strerror(number)))
            else:
                answer.set_result(found)

    def _send(self) -> None:
        output = self._session.take_output()
        if output and self._channel is not None:
            self._channel.send(output)

    def _fail(self, error: QMPError | WireError) -> None:
        """Tell who waits for the export why it cannot be had; the connection is of no use."""
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(QMPError(str(error)))
        self._lose()

    def _lose(self) -> None:
        """Give up the connection; whoever waits is told."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionError())
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(ConnectionError())
