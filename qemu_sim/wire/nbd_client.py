"""The client's end of one NBD connection, without its socket.

QEMU: nbd/client.c (nbd_receive_negotiate), block/nbd.c

It asks for simple replies only: all that it reads are data. An export that is refused is a
QMPError in QEMU's words; WireError is raised where the server breaks the protocol.
"""

from __future__ import annotations

from typing import NamedTuple

from qemu_sim.errors import QMPError, WireError
from qemu_sim.wire import nbd
from qemu_sim.wire.nbd import Command, Flags, Info, Option, Reply, Request
from qemu_sim.wire.pull import Pull, Reads, Steps

_REFUSALS = {
    Reply.ERR_POLICY: "Denied by server for option {option} (go)",
    Reply.ERR_INVALID: "Invalid parameters for option {option} (go)",
    1 << 31 | 4: "Server lacks support for option {option} (go)",
    1 << 31 | 5: "Server requires TLS for option {option} (go)",
    Reply.ERR_UNKNOWN: "Requested export not available",
    1 << 31 | 7: "Server shutting down before option {option} (go)",
    1 << 31 | 8: "Server requires INFO_BLOCK_SIZE for option {option} (go)",
}
_LONGEST_REPLY = 2 * nbd.MAX_STRING  # bytes of an answer to GO


class Answer(NamedTuple):
    """What came of the request `cookie`: an error number, or 0 and what was read."""

    cookie: int
    error: int
    data: bytes


class ClientSession:
    """One connection to one export. `is_open`: requests may be made."""

    def __init__(self, export: str) -> None:
        self.is_open = False
        self.size = 0
        self.flags = Flags(0)
        self.preferred = nbd.PREFERRED
        """How many bytes a request best has."""
        self._export = export
        self._output = bytearray()
        self._answers: list[Answer] = []
        self._lengths: dict[int, int] = {}  # what the answer to each request brings
        self._cookie = 0
        self._pull = Pull(self._steps())

    def receive(self, data: bytes) -> list[Answer]:
        """Return the answers that are complete. Raises QMPError and WireError."""
        self._pull.receive(data)
        found, self._answers = self._answers, []
        return found

    def take_output(self) -> bytes:
        """Return what is to be sent."""
        found = bytes(self._output)
        self._output.clear()
        return found

    def request(self, command: Command, offset: int = 0, length: int = 0, data: bytes = b"") -> int:
        """Ask the server for something; returns the cookie of the answer."""
        self._cookie += 1
        self._lengths[self._cookie] = length if command == Command.READ else 0
        made = Request(command, offset, length or len(data), 0, self._cookie, data)
        self._output += made.encode()
        return self._cookie

    def disconnect(self) -> None:
        """Say goodbye; there is no answer."""
        self._output += Request(Command.DISC, 0, 0).encode()

    def _steps(self) -> Steps:
        yield from self._greet()
        self.is_open = True
        while True:
            magic, error, cookie = nbd.SIMPLE.unpack((yield nbd.SIMPLE.size))
            if magic != nbd.SIMPLE_MAGIC:
                raise WireError(f"invalid magic (got {magic:#x})")
            if cookie not in self._lengths:
                raise WireError(f"an answer to no request ({cookie:#x})")
            length = self._lengths.pop(cookie)
            data = b"" if error else (yield length)
            self._answers.append(Answer(cookie, error, data))

    def _greet(self) -> Steps:
        magic = yield len(nbd.GREETING)
        if magic != nbd.GREETING:
            raise QMPError(f"Bad initial magic received: 0x{magic.hex()}")
        magic = yield len(nbd.OPTION_MAGIC)
        if magic != nbd.OPTION_MAGIC:
            raise QMPError(f"Bad server magic received: 0x{magic.hex()}")
        (offered,) = nbd.U16.unpack((yield nbd.U16.size))
        flags = offered & (nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES)
        self._output += nbd.U32.pack(flags)
        if not (flags & nbd.FIXED_NEWSTYLE and (yield from self._go())):
            yield from self._use_name(has_padding=not flags & nbd.NO_ZEROES)

    def _go(self) -> Reads[bool]:
        """Ask for the export; returns False where the server does not know how."""
        wanted = nbd.U16.pack(1) + nbd.U16.pack(Info.BLOCK_SIZE)
        self._option(Option.GO, nbd.with_length(self._export) + wanted)
        while True:
            header = nbd.OPTION_REPLY.unpack((yield nbd.OPTION_REPLY.size))
            magic, option, reply, length = header
            if magic != nbd.REPLY_MAGIC or option != Option.GO or length > _LONGEST_REPLY:
                raise QMPError("Unexpected option reply")
            data = yield length
            if reply == Reply.ACK:
                return True
            if reply == Reply.ERR_UNSUP:
                return False
            if reply & nbd.ERRORS:
                words = _REFUSALS.get(reply, "Unknown error code when asking for option {option}")
                raise QMPError(words.format(option=int(Option.GO)))
            self._learn(data)

    def _learn(self, data: bytes) -> None:
        if len(data) == nbd.INFO_EXPORT.size and data[:2] == nbd.U16.pack(Info.EXPORT):
            _, self.size, flags = nbd.INFO_EXPORT.unpack(data)
            self.flags = Flags(flags)
        elif len(data) == nbd.INFO_BLOCK_SIZE.size and data[:2] == nbd.U16.pack(Info.BLOCK_SIZE):
            _, _, self.preferred, _ = nbd.INFO_BLOCK_SIZE.unpack(data)

    def _use_name(self, *, has_padding: bool) -> Steps:
        self._option(Option.EXPORT_NAME, nbd.to_bytes(self._export))
        self.size, flags = nbd.EXPORT.unpack((yield nbd.EXPORT.size))
        self.flags = Flags(flags)
        if has_padding:
            yield len(nbd.PADDING)

    def _option(self, option: Option, data: bytes) -> None:
        self._output += nbd.OPTION.pack(nbd.OPTION_MAGIC, option, len(data)) + data
