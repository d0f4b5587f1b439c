"""One vhost-user connection, the front end's end: a question, then its answer.

QEMU: hw/virtio/vhost-user.c (vhost_user_write, vhost_user_read, process_message_reply)

The server never speaks unasked, so a message while nothing is awaited breaks the
connection, as its end does. One request is under way at a time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError, WireError
from qemu_sim.fds import Fd, close_all
from qemu_sim.io.channel import Channel
from qemu_sim.wire import vhost_user

if TYPE_CHECKING:
    from qemu_sim.wire.vhost_user import Message, Request

ANSWER_TIMEOUT = 10.0  # seconds; a server with one client at a time leaves a second one waiting


class VhostConnection:
    """Speaks vhost-user on a connected unix socket. `name` stands in every error."""

    def __init__(self, sock: Fd, name: str, on_lost: Callable[[str], None]) -> None:
        """Own `sock`; `on_lost(reason)` is called once when the connection breaks."""
        self.name = name
        self._on_lost = on_lost
        self._reader = vhost_user.MessageReader()
        self._awaited: asyncio.Future[Message] | None = None
        self._channel = Channel(socket.socket(fileno=sock.detach()))
        self._channel.on_data = self._data
        self._channel.on_close = self._closed
        self._channel.start_reading()
        self.reply_ack = False

    @property
    def busy(self) -> bool:
        """Whether a message is half sent, half read or unanswered."""
        return self._awaited is not None or self._channel.queued_bytes > 0 or not self._reader.empty

    async def ask(self, request: Request, payload: bytes = b"") -> Message:
        """Send a request that has an answer of its own, and return that.

        The caller owns the answer's descriptors. Raises QMPError naming the socket when
        there is no answer, or a wrong one.
        """
        return await self._exchange(request, payload, (), 0)

    async def tell(self, request: Request, payload: bytes = b"", fds: Sequence[Fd] = ()) -> None:
        """Send a request that changes something; with REPLY_ACK, wait until it is done.

        `fds` stay the caller's. Raises QMPError when the server refuses.
        """
        if not self.reply_ack:
            self._check_idle()
            self._channel.send(vhost_user.encode(request, payload), fds)
            return
        answer = await self._exchange(request, payload, fds, vhost_user.NEED_REPLY)
        status = vhost_user.decode_u64(answer.payload)
        if status != 0:
            raise QMPError(f"{self.name}: the server failed {request.name} ({status})")

    def detach(self) -> Fd:
        """Stop speaking and give the socket up, still connected."""
        self._reader.close()
        return self._channel.detach()

    def close(self) -> None:
        """End the connection."""
        self._reader.close()
        self._channel.close()

    async def _exchange(
        self, request: Request, payload: bytes, fds: Sequence[Fd], flags: int
    ) -> Message:
        self._check_idle()
        awaited: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._awaited = awaited
        self._channel.send(vhost_user.encode(request, payload, flags), fds)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                answer = await awaited
        except asyncio.CancelledError:
            _drop(awaited)
            raise
        except TimeoutError:
            _drop(awaited)
            reason = f"no answer to {request.name} within {ANSWER_TIMEOUT:g} s"
            self._lose(reason)
            raise QMPError(f"{self.name}: {reason}; does the server have another client?") from None
        finally:
            self._awaited = None
        if answer.request != request or not answer.flags & vhost_user.REPLY:
            close_all(answer.fds)
            self._lose(f"{answer.name} instead of the answer to {request.name}")
            raise QMPError(f"{self.name}: {answer.name} instead of the answer to {request.name}")
        return answer

    def _check_idle(self) -> None:
        if self._channel.closed:
            raise QMPError(f"{self.name}: not connected")
        assert self._awaited is None, "two requests at once"

    def _data(self, data: bytes, fds: list[Fd]) -> None:
        self._reader.feed(data, fds)
        try:
            message = self._reader.next()
        except WireError as error:
            self._lose(str(error))
            return
        if message is None:
            return
        if self._awaited is None or self._awaited.done() or not self._reader.empty:
            close_all(message.fds)
            self._lose(f"unexpected {message.name}")
        else:
            self._awaited.set_result(message)

    def _closed(self, error: Exception | None) -> None:
        self._lose(str(error) if error is not None else "the server closed the connection")

    def _lose(self, reason: str) -> None:
        self.close()
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_exception(QMPError(f"{self.name}: {reason}"))
        self._on_lost(reason)


def _drop(awaited: asyncio.Future[Message]) -> None:
    """Close the descriptors of an answer that came in the very moment it was given up."""
    if awaited.done() and not awaited.cancelled() and awaited.exception() is None:
        close_all(awaited.result().fds)
