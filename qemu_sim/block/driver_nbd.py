"""The driver nbd: an export of another process, here or elsewhere.

QEMU: block/nbd.c

Its data are waited for: an image format, which looks things up in them at once, cannot
stand on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.block import nbd_address
from qemu_sim.block.node import Node
from qemu_sim.errors import QMPError
from qemu_sim.io.address import FdAddress, from_qapi
from qemu_sim.wire import nbd
from qemu_sim.wire.nbd import Command, Flags

if TYPE_CHECKING:
    from qemu_sim.block.nbd_client import NbdClient

_SECTOR = 512
_MAX_DISCARD = (1 << 31) - 1


class DriverNbd(Node):
    """One export. Its size is taken once, when it is opened."""

    TYPE = "nbd"
    IS_PROTOCOL = True
    STRONG = ("server", "export", "tls-creds", "tls-hostname")
    allocated = None
    has_flags = False
    memory_alignment = _SECTOR

    _client: NbdClient | None = None

    async def prepare(self) -> None:
        """Connect, and open the export."""
        options = self.options
        self._check(options)
        address = from_qapi(options["server"])
        if isinstance(address, FdAddress):
            raise QMPError("not simulated by qemu-sim: an NBD server as a descriptor")
        from qemu_sim.block.nbd_client import NbdClient  # noqa: PLC0415 - needs a loop

        self._client = NbdClient(address, self._export, options.get("reconnect-delay", 0))
        await self._client.open(options.get("open-timeout", 0))
        if self._flags & Flags.READ_ONLY and not self.read_only:
            if not options.get("auto-read-only", False):
                raise QMPError("Could not open image: Permission denied")
            self.read_only = True

    def close(self) -> None:
        """Say goodbye to the server."""
        if self._client is not None:
            self._client.close()

    def yank(self) -> None:
        """Cut the connection for good: all requests fail."""
        self._opened.yank()

    @property
    def size(self) -> int:
        """Bytes, as the server says."""
        return self._opened.session.size

    @property
    def below(self) -> None:
        """The data are the server's."""

    def read(self, offset: int, length: int) -> bytes:  # noqa: ARG002  (cannot be had at once)
        """Refuse: the data would have to be here."""
        raise QMPError("not simulated by qemu-sim: an image format on an NBD export")

    def write(self, offset: int, data: bytes) -> None:  # noqa: ARG002  (as above)
        """Refuse: nobody would wait until the data are there."""
        raise QMPError("not simulated by qemu-sim: an image format on an NBD export")

    async def fetch(self, offset: int, length: int) -> bytes:
        """Ask the server."""
        return await self._opened.request(Command.READ, offset, length)

    async def put(self, offset: int, data: bytes) -> None:
        """Have the server store data."""
        await self._opened.request(Command.WRITE, offset, data=data)

    async def put_zeros(self, offset: int, length: int) -> None:
        """Have the server store zeros, by a request of their own where it knows one."""
        knows = self._flags & Flags.SEND_WRITE_ZEROES
        while length:
            piece = min(length, nbd.MAX_DATA)
            if knows:
                await self._opened.request(Command.WRITE_ZEROES, offset, piece)
            else:
                await self.put(offset, bytes(piece))
            offset, length = offset + piece, length - piece

    async def unmap(self, offset: int, length: int) -> None:
        """Tell the server, if it can do something with that."""
        if self._flags & Flags.SEND_TRIM:
            await self._opened.request(Command.TRIM, offset, length)

    async def sync(self) -> None:
        """Have the server's disk take what was stored."""
        if self._flags & Flags.SEND_FLUSH:
            await self._opened.request(Command.FLUSH)

    def holds(self, offset: int, length: int) -> bool:  # noqa: ARG002  (the same everywhere)
        """There is nothing below."""
        return True

    @property
    def alignment(self) -> dict[str, int]:
        """As the protocol has it, and the server wants it."""
        return {
            "opt-transfer": self._opened.session.preferred,
            "max-transfer": nbd.MAX_DATA,
            "max-write-zeroes": nbd.MAX_DATA,
            "max-discard": _MAX_DISCARD,
        }

    @property
    def exact_filename(self) -> str:
        """The export's URI."""
        return nbd_address.filename(self.options["server"], self._export)

    @property
    def _export(self) -> str:
        name: str = self.options.get("export", "")
        return name

    @property
    def _opened(self) -> NbdClient:
        assert self._client is not None, "node is not open"
        return self._client

    @property
    def _flags(self) -> Flags:
        return self._opened.session.flags

    def _check(self, options: dict[str, Any]) -> None:
        """Raise QMPError for what cannot be."""
        if len(nbd.to_bytes(self._export)) > nbd.MAX_STRING:
            raise QMPError("export name too long to send to server")
        if len(nbd.to_bytes(options.get("x-dirty-bitmap", ""))) > nbd.MAX_STRING:
            raise QMPError("x-dirty-bitmap query too long to send to server")
        if "tls-creds" in options:
            if options["tls-creds"] not in self.objects:
                raise QMPError(f"No TLS credentials with id '{options['tls-creds']}'")
            raise QMPError("not simulated by qemu-sim: NBD with TLS")
        if "x-dirty-bitmap" in options:
            raise QMPError("not simulated by qemu-sim: 'x-dirty-bitmap' of an NBD export")
