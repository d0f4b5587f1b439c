"""The chardev under a monitor: it only says where clients come from.

QEMU: chardev/char.c, monitor/monitor.c (monitor_init)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qemu_sim.backends.chardev import Chardev
from qemu_sim.backends.chardev_mux import ChardevMux
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.io.stdio import StdioChannel
from qemu_sim.monitor.door import Door, backend_address
from qemu_sim.monitor.monitor import Monitor

NOBODY = ("null", "vc")  # types that lead nowhere


class MonitorChardev(Chardev):
    """A `socket` or `stdio` backend whose only front end is `monitor`; or a `mux` over one.

    With a mux what is typed is always the monitor's: no guest here would listen. A monitor
    on `null` or `vc` has nobody to talk to.
    """

    TYPE = "socket"

    def __init__(
        self, id: str, backend: dict[str, Any], monitor: Monitor, door: Door | None
    ) -> None:
        """`backend` is the QAPI ChardevBackend; `door` what was opened for it before.

        Raises QMPError.
        """
        super().__init__(id, backend.get("data", {}))
        self._kind: str = backend["type"]
        self._monitor = monitor
        self._door = door
        self._base: Chardev | None = None
        if self._kind == "mux":
            self.front_ends = ChardevMux.front_ends
        if "logfile" in self.options:
            raise QMPError("'logfile' of a monitor's chardev is not simulated by qemu-sim")

    @property
    def is_open(self) -> bool:
        """Whether the monitor listens or has its client."""
        return self._kind != "socket" or self._monitor.address is not None

    @property
    def filename(self) -> str:
        """The address, `disconnected:` before it while there is no client."""
        if self._kind != "socket":
            return self._kind
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
        kind = self._base.TYPE if self._base is not None else self._kind
        if kind == "stdio":
            source, sink = Fd.duplicate(0), Fd.duplicate(1)
            self._monitor.attach(StdioChannel(source, sink))
            return
        if kind in NOBODY:
            return
        if kind != "socket" or self._base is not None:
            raise QMPError(f"a monitor on chardev '{kind}' is not simulated by qemu-sim")
        address, server = backend_address({"data": self.options})
        if self._door is not None:
            self._monitor.enter(self._door)
        else:
            await self._monitor.open(address, server=server)
        if server and self.options.get("wait", False):
            self.tell_wait(self.filename)
            await self._monitor.connected.wait()

    def find_bases(self, chardevs: Mapping[str, Chardev]) -> list[Chardev]:
        """Return what a mux shares. Raises QMPError in QEMU's words."""
        if self._kind != "mux":
            return []
        found = ChardevMux(self.id, self.options).find_bases(chardevs)
        self._base = found[0]
        return found

    def send(self, data: bytes) -> None:
        """Let another front end of a mux write, too."""
        if self._base is not None:
            self._base.write(data)

    def close(self) -> None:
        """The monitor closes itself."""
