"""The server's end of one NBD connection: its socket, and what is done with the node.

QEMU: nbd/server.c (nbd_trip)

Requests are done one after the other; there is a task only while there are some.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import os
import socket
from collections.abc import Callable, Iterator

from qemu_sim.block.export import Export
from qemu_sim.errors import QMPError, WireError
from qemu_sim.fds import Fd, close_all
from qemu_sim.io.channel import Channel
from qemu_sim.wire import nbd
from qemu_sim.wire.nbd import Command, Error, Flags, Request
from qemu_sim.wire.nbd_options import Offer
from qemu_sim.wire.nbd_server import ServerSession

_MOST_WAITING = 16  # nbd/server.c (MAX_NBD_REQUESTS)
_MOST_EXTENTS = 2048  # nbd/server.c (NBD_MAX_BLOCK_STATUS_EXTENTS)
_READS = Flags.HAS_FLAGS | Flags.SEND_FLUSH | Flags.SEND_FUA | Flags.SEND_DF | Flags.SEND_CACHE
_WRITES = Flags.SEND_TRIM | Flags.SEND_WRITE_ZEROES | Flags.SEND_FAST_ZERO
_ERRORS = {os.strerror(error): error for error in (Error.EPERM, Error.ENOMEM, Error.ENOSPC)}

Extent = tuple[int, bool]  # bytes, and whether they are known as zeros


class NbdConnection:
    """One client. `on_close` is called once, when the connection has ended."""

    def __init__(
        self,
        sock: socket.socket,
        exports: Callable[[], list[Export]],
        bug: Callable[[Exception], str],
        *,
        shared: bool,
    ) -> None:
        """Own `sock`, connected. `shared`: others may be connected at the same time."""
        self.on_close: Callable[[], None] = lambda: None
        self._exports = exports
        self._bug = bug
        self._shared = shared
        self._session = ServerSession(self._offers)
        self._export: Export | None = None
        self._waiting: collections.deque[Request] = collections.deque()
        self._task: asyncio.Task[None] | None = None
        self._timeout: asyncio.TimerHandle | None = None
        self._channel = Channel(sock)
        self._channel.on_data = self._data
        self._channel.on_close = lambda _: self.close()

    def start(self, handshake_seconds: int) -> None:
        """Greet the client, who has so long to choose an export; 0 is for ever."""
        self._send()
        if handshake_seconds:
            loop = asyncio.get_running_loop()
            self._timeout = loop.call_later(handshake_seconds, self.close)
        self._channel.start_reading()

    def close(self) -> None:
        """End the connection; nothing happens the second time."""
        on_close, self.on_close = self.on_close, lambda: None
        self._stop_waiting()
        self._channel.close()
        if self._task is not None:
            self._task.cancel()
        if self._export is not None:
            self._export.clients.discard(self)
        on_close()

    def _offers(self) -> list[Offer]:
        return [self._offer(export) for export in self._exports()]

    def _offer(self, export: Export) -> Offer:
        flags = _READS | (_WRITES if export.terms.writable else Flags.READ_ONLY)
        if self._shared:
            flags |= Flags.CAN_MULTI_CONN
        return Offer(export.terms.name, export.terms.description, export.size, flags)

    def _data(self, data: bytes, fds: list[Fd]) -> None:
        close_all(fds)
        try:
            self._waiting.extend(self._session.receive(data))
        except WireError:
            self.close()
            return
        self._send()
        if self._export is None:
            self._choose()
        is_behind = self._channel.queued_bytes > 0
        if (self._waiting or is_behind) and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve(), name="nbd client")
        elif self._session.ended and self._task is None:
            self.close()
        if is_behind or len(self._waiting) >= _MOST_WAITING:
            self._channel.pause_reading()

    def _send(self) -> None:
        output = self._session.take_output()
        if output:  # the channel would wait for nothing to leave
            self._channel.send(output)

    def _choose(self) -> None:
        """Note which export the client has chosen, if it has."""
        chosen = self._session.chosen
        if chosen is not None:
            self._stop_waiting()
            self._export = next(each for each in self._exports() if each.terms.name == chosen.name)
            self._export.clients.add(self)

    def _stop_waiting(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    async def _serve(self) -> None:
        """Do what waits, and read on as fast as the client reads the answers.

        Ends the connection where the client has said goodbye.
        """
        try:
            while await self._drained():
                if not self._session.ended:
                    self._channel.start_reading()
                if not self._waiting:
                    break
                assert self._export is not None  # or there would be no request
                await self._answer(self._export, self._waiting.popleft())
                self._send()
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must not wait
            self._bug(error)
            self._task = None
            self.close()
            return
        self._task = None
        if self._session.ended:
            self.close()

    async def _drained(self) -> bool:
        """Wait until the client has taken the answers; returns whether it has not hung up."""
        try:
            await self._channel.drain()
        except (OSError, WireError):
            return False  # `close` is to follow
        return True

    async def _answer(self, export: Export, request: Request) -> None:
        try:
            if not export.node.active and request.command != Command.FLUSH:
                self._session.fail(request, Error.EPERM, "export is inactive")
            elif request.command == Command.READ:
                await self._read(export, request)
            elif request.command == Command.BLOCK_STATUS:
                self._tell(export, request)
            elif request.flags & nbd.FAST_ZERO and not _is_zero(export, request):
                self._session.fail(request, Error.ENOTSUP, "there are data to overwrite")
            else:
                await _change(export, request)
                self._session.done(request)
        except QMPError as error:
            self._session.fail(request, _ERRORS.get(str(error), Error.EIO), str(error))

    async def _read(self, export: Export, request: Request) -> None:
        offset, pieces = request.offset, list[bytes | int]()
        whole = [(request.length, False)] if request.length else []
        for length, is_zero in whole if request.flags & nbd.DF else _extents(export, request):
            pieces.append(length if is_zero else await export.node.fetch(offset, length))
            offset += length
        self._session.give(request, pieces)

    def _tell(self, export: Export, request: Request) -> None:
        extents = _extents(export, request)
        most = 1 if request.flags & nbd.REQ_ONE else _MOST_EXTENTS
        states = ((length, nbd.ZERO_HOLE if is_zero else 0) for length, is_zero in extents)
        self._session.tell(request, itertools.islice(states, most))


async def _change(export: Export, request: Request) -> None:
    """Do what writes, or nothing: what CACHE wants the host does anyway."""
    node = export.node
    if request.command == Command.WRITE:
        await node.store(request.offset, request.data)
    elif request.command == Command.WRITE_ZEROES:
        await node.store_zeros(request.offset, request.length)
    elif request.command == Command.TRIM:
        await node.discard(request.offset, request.length)
    always = export.terms.writethrough and request.command in (Command.WRITE, Command.WRITE_ZEROES)
    if request.command == Command.FLUSH or request.flags & nbd.FUA or always:
        await node.sync()


def _is_zero(export: Export, request: Request) -> bool:
    return all(is_zero for _, is_zero in _extents(export, request))


def _extents(export: Export, request: Request) -> Iterator[Extent]:
    """Split a range so that neighbours differ."""
    offset, end = request.offset, request.offset + request.length
    run, kind = 0, False
    while offset < end:
        length, is_zero = export.node.extent(offset, end - offset)
        if run and is_zero != kind:
            yield run, kind
            run = 0
        run, kind = run + length, is_zero
        offset += length
    if run:
        yield run, kind
