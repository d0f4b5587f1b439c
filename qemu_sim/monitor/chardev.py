"""The chardev under a monitor: it only says where clients come from.

QEMU: chardev/char.c, monitor/monitor.c (monitor_init)
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.io.stdio import StdioChannel
from qemu_sim.monitor.door import Door, backend_address
from qemu_sim.monitor.monitor import Monitor


class MonitorChardev(Chardev):
    """A `socket` or `stdio` backend whose only front end is `monitor`."""

    TYPE = "socket"

    def __init__(
        self, id: str, backend: dict[str, Any], monitor: Monitor, door: Door | None
    ) -> None:
        """`backend` is the QAPI ChardevBackend; `door` what was opened for it before."""
        super().__init__(id, backend.get("data", {}))
        self._kind: str = backend["type"]
        self._monitor = monitor
        self._door = door

    @property
    def is_open(self) -> bool:
        """Whether the monitor listens or has its client."""
        return self._monitor.address is not None

    @property
    def filename(self) -> str:
        """The address, `disconnected:` before it while there is no client."""
        if self._kind == "stdio":
            return "stdio"
        suffix = ",server=on" if self.options.get("server", True) else ""
        state = "" if self._monitor.connected.is_set() else "disconnected:"
        return f"{state}{self._monitor.address}{suffix}"

    @property
    def can_yank(self) -> bool:
        """Whether it is a socket."""
        return self._kind == "socket"

    def yank(self) -> None:
        """Drop the client."""
        self._monitor.drop_client()

    async def open(self) -> None:
        """Open the monitor; with wait=on this returns once a client is there."""
        if self._kind == "stdio":
            source, sink = Fd.duplicate(0), Fd.duplicate(1)
            self._monitor.attach(StdioChannel(source, sink))
            return
        if self._kind != "socket":
            raise QMPError(f"a monitor on chardev '{self._kind}' is not simulated by qemu-sim")
        address, server = backend_address({"data": self.options})
        if self._door is not None:
            self._monitor.enter(self._door)
        else:
            await self._monitor.open(address, server=server)
        if server and self.options.get("wait", False):
            await self._monitor.connected.wait()

    def close(self) -> None:
        """The monitor closes itself."""
