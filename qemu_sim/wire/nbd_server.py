"""The server's end of one NBD connection, without its socket.

QEMU: nbd/server.c (nbd_co_receive_request, nbd_handle_request)

    receive(bytes) → requests to do; done, fail, give, tell → take_output() → bytes

What a client may ask for and does not get is answered here. WireError is raised where the
two sides no longer understand each other, and the connection has to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from qemu_sim.errors import WireError
from qemu_sim.wire import nbd
from qemu_sim.wire.nbd import Chunk, Command, Error, Flags, Request
from qemu_sim.wire.nbd_options import CONTEXT, Options
from qemu_sim.wire.pull import Pull, Steps

if TYPE_CHECKING:
    from qemu_sim.wire.nbd_options import Offer

_KNOWN = frozenset(Command)
_GROWS = (Command.WRITE, Command.WRITE_ZEROES)
_WRITES = (*_GROWS, Command.TRIM)
_WITH_DATA = (Command.READ, Command.WRITE, Command.CACHE)
_FLAGS = {
    Command.READ: nbd.DF,
    Command.WRITE_ZEROES: nbd.NO_HOLE | nbd.FAST_ZERO,
    Command.BLOCK_STATUS: nbd.REQ_ONE,
}


class ServerSession:
    """One connection. `ended`: the client has said goodbye."""

    def __init__(self, offers: Callable[[], Sequence[Offer]]) -> None:
        """`offers` tells what can be chosen at the moment."""
        self._options = Options(offers)
        self._output = bytearray()
        self._requests: list[Request] = []
        self._pull = Pull(self._steps())

    @property
    def chosen(self) -> Offer | None:
        """The export, once the client has chosen one."""
        return self._options.chosen

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self._pull.ended

    def receive(self, data: bytes) -> list[Request]:
        """Return the requests that are complete. Raises WireError."""
        self._pull.receive(data)
        found, self._requests = self._requests, []
        return found

    def take_output(self) -> bytes:
        """Return what is to be sent."""
        found = bytes(self._options.output + self._output)
        self._options.output.clear()
        self._output.clear()
        return found

    # Answers.

    def done(self, request: Request) -> None:
        """Say that a request without data to return succeeded."""
        self._output += nbd.SIMPLE.pack(nbd.SIMPLE_MAGIC, 0, request.cookie)

    def fail(self, request: Request, error: Error, reason: str = "") -> None:
        """Say that a request failed."""
        if self._options.structured:
            words = nbd.to_bytes(reason)[: nbd.MAX_STRING]
            self._chunk(request, Chunk.ERROR, nbd.ERROR.pack(error, len(words)) + words)
        else:
            self._output += nbd.SIMPLE.pack(nbd.SIMPLE_MAGIC, error, request.cookie)

    def give(self, request: Request, pieces: Sequence[bytes | int]) -> None:
        """Return what was read: data, or for zeros only their number."""
        if not self._options.structured:
            self.done(request)
            for piece in pieces:
                self._output += bytes(piece) if isinstance(piece, int) else piece
            return
        offset, last = request.offset, len(pieces) - 1
        for number, piece in enumerate(pieces):
            if isinstance(piece, int):
                kind, payload, length = Chunk.OFFSET_HOLE, nbd.HOLE.pack(offset, piece), piece
            else:
                kind, payload = Chunk.OFFSET_DATA, nbd.U64.pack(offset) + piece
                length = len(piece)
            self._chunk(request, kind, payload, is_last=number == last)
            offset += length
        if not pieces:
            self._chunk(request, Chunk.NONE, b"")

    def tell(self, request: Request, extents: Iterable[tuple[int, int]]) -> None:
        """Return extents: length and state of each."""
        payload = b"".join(nbd.EXTENT.pack(*extent) for extent in extents)
        self._chunk(request, Chunk.BLOCK_STATUS, nbd.U32.pack(CONTEXT) + payload)

    def _chunk(
        self, request: Request, kind: Chunk, payload: bytes, *, is_last: bool = True
    ) -> None:
        flags = nbd.DONE if is_last else 0
        header = (nbd.CHUNK_MAGIC, flags, kind, request.cookie, len(payload))
        self._output += nbd.CHUNK.pack(*header) + payload

    # Requests.

    def _steps(self) -> Steps:
        yield from self._options.steps()
        while not self._options.aborted:
            magic, flags, command, *where = nbd.REQUEST.unpack((yield nbd.REQUEST.size))
            if magic != nbd.REQUEST_MAGIC:
                raise WireError(f"a request begins with {magic:#x}")
            if command == Command.DISC:
                return
            cookie, offset, length = where
            data = b""
            if command == Command.WRITE:
                if length > nbd.MAX_DATA:
                    raise WireError(f"{length} bytes to write at once")
                data = yield length
            request = Request(command, offset, length, flags, cookie, data)
            refusal = self._refusal(request)
            if refusal is None:
                self._requests.append(request)
            else:
                self.fail(request, *refusal)

    def _refusal(self, request: Request) -> tuple[Error, str] | None:
        """Return why a request cannot be done; in QEMU's order."""
        command, offer = request.command, self._options.chosen
        assert offer is not None
        if command not in _KNOWN:
            return Error.EINVAL, f"invalid request type ({command}) received"
        if command in _WITH_DATA and request.length > nbd.MAX_DATA:
            return Error.EINVAL, f"len ({request.length}) is larger than max len ({nbd.MAX_DATA})"
        if offer.flags & Flags.READ_ONLY and command in _WRITES:
            return Error.EPERM, "Export is read-only"
        if request.offset + request.length > offer.size:
            error = Error.ENOSPC if command in _GROWS else Error.EINVAL
            return error, "operation past EOF"
        if request.flags & ~(nbd.FUA | self._valid_flags(command)):
            return Error.EINVAL, f"unsupported flags for command (got {request.flags:#x})"
        return self._status_refusal(request) if command == Command.BLOCK_STATUS else None

    def _valid_flags(self, command: int) -> int:
        if command == Command.READ and not self._options.structured:
            return 0
        return _FLAGS.get(Command(command), 0)

    def _status_refusal(self, request: Request) -> tuple[Error, str] | None:
        if not request.length:
            return Error.EINVAL, "need non-zero length"
        if not self._options.tells_allocation:
            return Error.EINVAL, "CMD_BLOCK_STATUS not negotiated"
        return None
