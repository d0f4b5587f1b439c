"""The qtest chardev's front end: lines from the test program, answers to it.

QEMU: system/qtest.c (qtest_server_init, qtest_read)

Mostly the test program listens and this process connects; the other way round works too,
for one program after another.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd, close_all
from qemu_sim.io import address as addresses
from qemu_sim.io import sockets
from qemu_sim.io.channel import Channel
from qemu_sim.io.stdio import StdioChannel
from qemu_sim.machine.configuration import StartError
from qemu_sim.monitor.server import Server
from qemu_sim.qapi import chardev_opts, chardev_text
from qemu_sim.qtest.log import Log
from qemu_sim.qtest.script import Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from qemu_sim.machine.machine import Machine
    from qemu_sim.monitor.connection import Stream
    from qemu_sim.virtio.memory import GuestMemory

_LINE_MAX = 256 << 20  # bytes; QEMU has no limit
_log = logging.getLogger(__name__)


class FrontEnd:
    """One `-qtest`: open it, serve when the machine is complete, and close it at the end."""

    def __init__(self, machine: Machine, *, clocked: bool) -> None:
        """See Script for `clocked`."""
        self._machine = machine
        self._transcript = Log("none")
        self._script = Script(self, clocked=clocked)
        self._stream: Stream | None = None
        self._server: Server | None = None
        self._connected = asyncio.Event()
        self._serves = False
        self._partial = bytearray()

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""
        return self._machine.memory

    def has_device(self, path: str) -> bool:
        """Whether there is a device of that ID or QOM path."""
        return self._machine.board.has_device(path)

    async def open(self, text: str, log: str | None) -> None:
        """Open the chardev that `text` describes, and the log; see Log. Raises StartError.

        A test program waits a minute for this connection; if the start then fails, it sees the
        end of it at once.
        """
        try:
            values = chardev_text.from_text(text)
            backend = chardev_opts.chardev_arguments("qtest", values)["backend"]
            self._transcript = Log(log)
            await self._open(backend)
        except QMPError as error:
            # QEMU says what is wrong, if it knows, and then that something is.
            failed = f'Failed to initialize device for qtest: "{text}"'
            raise StartError(*filter(None, (str(error), failed))) from None

    async def _open(self, backend: dict[str, Any]) -> None:
        if backend["type"] == "stdio":
            self._attach(StdioChannel(Fd.duplicate(0), Fd.duplicate(1)), lambda: None)
            return
        if backend["type"] != "socket":
            raise QMPError(f"qtest on chardev '{backend['type']}' is not simulated by qemu-sim")
        options = backend["data"]
        legacy = options["addr"]
        address = addresses.from_qapi({"type": legacy["type"], **legacy["data"]})
        if isinstance(address, addresses.FdAddress):
            raise QMPError("qtest on an inherited descriptor is not simulated by qemu-sim")
        if not options.get("server", True):
            self._attach(Channel(await sockets.connect(address)), lambda: None)
            return
        self._server = Server(
            sockets.listen(address),
            self._attach,
            check_peer=self._machine.options.check_peer,
            address=address,
        )
        self._server.start()
        if options.get("wait", False):
            await self._connected.wait()

    def serve(self) -> None:
        """Obey the test program from now on."""
        self._serves = True
        if self._stream is not None:
            self._stream.start_reading()

    def close(self) -> None:
        """Leave the test program."""
        if self._server is not None:
            self._server.close()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._transcript.close()

    def _attach(self, stream: Stream, left: Callable[[], None]) -> None:
        self._stream = stream
        self._partial.clear()
        stream.on_data = self._receive
        stream.on_close = lambda error: self._ended(error, left)
        self._connected.set()
        self._transcript.opened()
        if self._serves:
            stream.start_reading()

    def _receive(self, data: bytes, fds: list[Fd]) -> None:
        close_all(fds)
        self._partial += data
        if b"\n" not in data and len(self._partial) <= _LINE_MAX:
            return
        *lines, rest = bytes(self._partial).split(b"\n")
        self._partial = bytearray(rest)
        for line in lines:
            self._obey(line.decode("utf-8", "replace").removesuffix("\r"))
        if len(self._partial) > _LINE_MAX:
            _log.warning("qtest: a command of more than %d bytes is dropped", _LINE_MAX)
            self._partial.clear()

    def _obey(self, line: str) -> None:
        self._transcript.received(line)
        answer = self._script.answer(line)
        if self._stream is not None:
            self._stream.send(f"{answer}\n".encode())
        self._transcript.sent(answer)

    def _ended(self, error: Exception | None, left: Callable[[], None]) -> None:
        if error is not None:
            _log.info("qtest program lost: %s", error)
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._transcript.closed()
        left()
