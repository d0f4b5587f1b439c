"""What is agreed on before an NBD transmission, as the server answers it.

QEMU: nbd/server.c (nbd_negotiate_options)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from qemu_sim.errors import WireError
from qemu_sim.wire import nbd
from qemu_sim.wire.nbd import Flags, Info, Option, Reply
from qemu_sim.wire.pull import Steps

CONTEXT = 0  # the number of the only metadata context
_NAMESPACE = "base:"
_HANDSHAKE = nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES


class Offer(NamedTuple):
    """One export: its name, the words about it, its bytes, and what can be done with it."""

    name: str
    description: str | None
    size: int
    flags: Flags


class _Refused(Exception):
    def __init__(self, reply: Reply, reason: str) -> None:
        super().__init__(reason)
        self.reply = reply


class Options:
    """The options of one client. `steps` ends when it chose an export, or aborted."""

    def __init__(self, offers: Callable[[], Sequence[Offer]]) -> None:
        """`offers` tells what there is at the moment."""
        self.output = bytearray()
        self.chosen: Offer | None = None
        self.structured = False
        self.aborted = False
        self._offers = offers
        self._flags = 0
        self._allocation_of: str | None = None
        self._answers: dict[int, Callable[[int, bytes], object]] = {
            Option.ABORT: self._abort,
            Option.LIST: self._list,
            Option.STARTTLS: self._start_tls,
            Option.INFO: self._inform,
            Option.GO: self._go,
            Option.STRUCTURED_REPLY: self._structure,
            Option.LIST_META_CONTEXT: self._list_contexts,
            Option.SET_META_CONTEXT: self._set_contexts,
        }

    @property
    def tells_allocation(self) -> bool:
        """Whether the client may ask which parts of the chosen export are allocated."""
        return self.chosen is not None and self._allocation_of == self.chosen.name

    def steps(self) -> Steps:
        """Read and answer. Raises WireError where a client cannot be answered."""
        self.output += nbd.GREETING + nbd.OPTION_MAGIC + nbd.U16.pack(_HANDSHAKE)
        (self._flags,) = nbd.U32.unpack((yield nbd.U32.size))
        if self._flags & ~_HANDSHAKE:
            raise WireError(f"unknown client flags {self._flags:#x}")
        while self.chosen is None and not self.aborted:
            magic, option, length = nbd.OPTION.unpack((yield nbd.OPTION.size))
            if magic != nbd.OPTION_MAGIC:
                raise WireError(f"an option begins with {magic!r}")
            if length > nbd.MAX_DATA:
                raise WireError(f"option {option} with {length} bytes")
            self._answer(option, (yield length))

    def _answer(self, option: int, data: bytes) -> None:
        if option == Option.EXPORT_NAME:
            self._use(data)
            return
        if not self._flags & nbd.FIXED_NEWSTYLE:
            raise WireError(f"option {option} of a client without fixed newstyle")
        answer = self._answers.get(option, _unsupported)
        try:
            answer(option, data)
        except _Refused as refused:
            self._reply(option, refused.reply, str(refused).encode())

    def _reply(self, option: int, reply: Reply, data: bytes = b"") -> None:
        self.output += nbd.OPTION_REPLY.pack(nbd.REPLY_MAGIC, option, reply, len(data)) + data

    def _use(self, data: bytes) -> None:
        """Answer EXPORT_NAME, which can be refused only by hanging up."""
        name = nbd.text(data)
        found = self._find(name)
        if found is None:
            raise WireError(f"export '{name}' not found")
        self.output += nbd.EXPORT.pack(found.size, found.flags)
        if not self._flags & nbd.NO_ZEROES:
            self.output += nbd.PADDING
        self.chosen = found

    def _abort(self, option: int, _data: bytes) -> None:
        self._reply(option, Reply.ACK)
        self.aborted = True

    def _list(self, option: int, data: bytes) -> None:
        _check_empty(data)
        for offer in self._offers():
            words = nbd.to_bytes(offer.description or "")
            self._reply(option, Reply.SERVER, nbd.with_length(offer.name) + words)
        self._reply(option, Reply.ACK)

    def _start_tls(self, _option: int, data: bytes) -> None:
        _check_empty(data)
        raise _Refused(Reply.ERR_POLICY, "TLS not configured")

    def _structure(self, option: int, data: bytes) -> None:
        _check_empty(data)
        if self.structured:
            raise _Refused(Reply.ERR_INVALID, "structured reply already negotiated")
        self.structured = True
        self._reply(option, Reply.ACK)

    def _inform(self, option: int, data: bytes) -> Offer:
        fields = _Fields(data)
        offer = self._named(fields)
        wanted = {fields.number(nbd.U16.size) for _ in range(fields.number(nbd.U16.size))}
        fields.end()
        if Info.NAME in wanted:
            self._reply(option, Reply.INFO, nbd.U16.pack(Info.NAME) + nbd.to_bytes(offer.name))
        if Info.DESCRIPTION in wanted and offer.description is not None:
            words = nbd.to_bytes(offer.description)
            self._reply(option, Reply.INFO, nbd.U16.pack(Info.DESCRIPTION) + words)
        sizes = (Info.BLOCK_SIZE, 1, nbd.PREFERRED, nbd.MAX_DATA)
        self._reply(option, Reply.INFO, nbd.INFO_BLOCK_SIZE.pack(*sizes))
        export = (Info.EXPORT, offer.size, offer.flags)
        self._reply(option, Reply.INFO, nbd.INFO_EXPORT.pack(*export))
        self._reply(option, Reply.ACK)
        return offer

    def _go(self, option: int, data: bytes) -> None:
        self.chosen = self._inform(option, data)

    def _list_contexts(self, option: int, data: bytes) -> None:
        self._asked(option, data, lists=True)

    def _set_contexts(self, option: int, data: bytes) -> None:
        self._allocation_of = None
        self._allocation_of = self._asked(option, data, lists=False)

    def _asked(self, option: int, data: bytes, *, lists: bool) -> str | None:
        """Return the name of the export, if the client wants to know its allocation."""
        if not self.structured:
            raise _Refused(Reply.ERR_INVALID, "structured replies are not negotiated")
        fields = _Fields(data)
        offer = self._named(fields)
        queries = [fields.string() for _ in range(fields.number(nbd.U32.size))]
        fields.end()
        is_asked = nbd.ALLOCATION in queries or (lists and (not queries or _NAMESPACE in queries))
        if is_asked:
            context = nbd.U32.pack(CONTEXT) + nbd.ALLOCATION.encode()
            self._reply(option, Reply.META_CONTEXT, context)
        self._reply(option, Reply.ACK)
        return offer.name if is_asked else None

    def _named(self, fields: _Fields) -> Offer:
        name = fields.string()
        found = self._find(name)
        if found is None:
            raise _Refused(Reply.ERR_UNKNOWN, f"export '{name}' not present")
        return found

    def _find(self, name: str) -> Offer | None:
        return next((offer for offer in self._offers() if offer.name == name), None)


class _Fields:
    """What is in the data of an option, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def string(self) -> str:
        length = self.number(nbd.U32.size)
        if length > nbd.MAX_STRING:
            raise _Refused(Reply.ERR_INVALID, f"a string of {length} bytes is too long")
        return nbd.text(self._take(length))

    def end(self) -> None:
        if self._data:
            raise _Refused(Reply.ERR_INVALID, f"{len(self._data)} bytes follow the option's data")

    def _take(self, size: int) -> bytes:
        if size > len(self._data):
            raise _Refused(Reply.ERR_INVALID, "the option's data are too short")
        taken, self._data = self._data[:size], self._data[size:]
        return taken


def _unsupported(option: int, _data: bytes) -> None:
    raise _Refused(Reply.ERR_UNSUP, f"Unsupported option {option}")


def _check_empty(data: bytes) -> None:
    if data:
        raise _Refused(Reply.ERR_INVALID, "the option has no data")
