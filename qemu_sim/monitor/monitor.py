"""One QMP monitor: where its clients come from, and what outlives them.

QEMU: monitor/qmp.c (monitor_init_qmp), chardev/char.c

Descriptors that `getfd` named belong to the monitor, not to the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qemu_sim.fds import Fd, close_all
from qemu_sim.io import address as addresses
from qemu_sim.io import sockets
from qemu_sim.io.channel import Channel
from qemu_sim.monitor.connection import Connection, Stream
from qemu_sim.monitor.door import Door, open_door
from qemu_sim.monitor.server import Server
from qemu_sim.monitor.session import WireLog, new_session

if TYPE_CHECKING:
    from qemu_sim.backends.chardev_socket import ChardevSocket
    from qemu_sim.machine.machine import Machine
    from qemu_sim.monitor.chardev_clients import ChardevClients
    from qemu_sim.monitor.human import HumanConnection
    from qemu_sim.monitor.turns import Turns
    from qemu_sim.wire.qmp import Session


class Monitor:
    """Waits for clients, or has the only one it will ever have."""

    def __init__(
        self,
        id: str,
        machine: Machine,
        turns: Turns,
        *,
        pretty: bool = False,
        wire_log: WireLog | None = None,
    ) -> None:
        """Nothing of the host is taken before `open`."""
        self.id = id
        self.named_fds: dict[str, Fd] = {}
        self.address: addresses.SocketAddress | None = None
        self.connected = asyncio.Event()
        self._machine = machine
        self._turns = turns
        self._pretty = pretty
        self._wire_log = wire_log
        self._server: Server | ChardevClients | None = None
        self._connection: Connection | HumanConnection | None = None

    @property
    def bound(self) -> dict[str, Any] | None:
        """The QAPI SocketAddress it listens at, port 0 resolved; None where it does not."""
        return self._server.bound if self._server is not None else None

    async def open(self, address: addresses.SocketAddress, *, server: bool) -> None:
        """Listen at `address`, or connect to it; a descriptor may be either already.

        Raises QMPError in QEMU's words.
        """
        self.address = address
        door = open_door(address, server=server)
        if door is None:
            assert not isinstance(address, addresses.FdAddress)
            door = Door(await sockets.connect(address), address, listens=False)
        self.enter(door)

    def enter(self, door: Door) -> None:
        """Admit the clients that come through an open door, or go on with the one that has."""
        self.address = door.address
        if door.listens:
            self._listen(door)
        else:
            channel = Channel(door.take(), lingers=True)
            self.attach(channel, local=door.is_local, session=door.session)

    def serve(self, chardev: ChardevSocket, left: Callable[[], None]) -> None:
        """Admit who is connected to a chardev, one after the other; `left()` tells of each end."""
        from qemu_sim.monitor.chardev_clients import ChardevClients  # noqa: PLC0415 - rarely used

        local, check_peer = chardev.is_unix, self._machine.options.check_peer
        self._server = ChardevClients(
            chardev,
            lambda channel, left: self.attach(channel, local=local, left=left),
            left,
            check_peer=check_peer,
        )
        chardev.cut = self.drop_client
        self._server.start()

    def attach(
        self,
        stream: Stream,
        *,
        local: bool = True,
        session: Session | None = None,
        left: Callable[[], None] = lambda: None,
    ) -> None:
        """Greet the client at the other end of `stream`; `left()` is told when it goes.

        One that was greeted before has a `session`.
        """
        connection = self._connection = self._new_connection(session, local=local)
        self.connected.set()
        connection.open(stream, partial(self._left, left))

    def set_pretty(self, pretty: bool) -> None:
        """Indent what is said from now on, or do not."""
        self._pretty = pretty
        if isinstance(self._connection, Connection):
            self._connection.set_pretty(pretty=pretty)

    def event(self, event: dict[str, Any]) -> None:
        """Tell the client, if there is one, of an event."""
        if self._connection is not None:
            self._connection.event(event)

    def drop_client(self) -> None:
        """End the connection; the next client may come."""
        if self._connection is not None:
            self._connection.drop()

    def finish(self) -> None:
        """Answer no more."""
        if self._connection is not None:
            self._connection.finish()

    async def drain(self) -> None:
        """Wait until the client has everything."""
        if self._connection is not None:
            await self._connection.drain()

    def close(self) -> None:
        """End the connection and listen no more."""
        if self._server is not None:
            self._server.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        close_all(self.named_fds.values())
        self.named_fds.clear()

    def _new_connection(
        self, session: Session | None, *, local: bool
    ) -> Connection | HumanConnection:
        session = session or new_session(
            self._machine.profile, self.id, pretty=self._pretty, wire_log=self._wire_log
        )
        return Connection(self, self._machine, self._turns, session, local=local)

    def _listen(self, door: Door) -> None:
        self._server = Server(
            door.take(),
            lambda channel, left: self.attach(channel, local=door.is_local, left=left),
            check_peer=self._machine.options.check_peer,
            address=door.bound,
        )
        self._server.start()

    def _left(self, left: Callable[[], None]) -> None:
        self._connection = None
        self.connected.clear()
        left()
