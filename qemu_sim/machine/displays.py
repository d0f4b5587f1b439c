"""The VNC displays of one machine by ID, the first one first.

QEMU: ui/vnc.c (vnc_displays, vnc_display_find)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from qemu_sim.backends.secret import find_secret
from qemu_sim.errors import DeviceNotFound
from qemu_sim.vnc.display import VncDisplay

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_TITLE = "QEMU"


class Displays(Mapping[str, VncDisplay]):
    """Look one up by its ID."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._displays: dict[str, VncDisplay] = {}

    def __getitem__(self, id: str) -> VncDisplay:
        return self._displays[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._displays)

    def __len__(self) -> int:
        return len(self._displays)

    def add(self, id: str, options: Mapping[str, Any]) -> VncDisplay:
        """Make a display that listens; `options` are those of -vnc. Raises QMPError."""
        name = self._machine.options.name
        title = f"{_TITLE} ({name})" if name else _TITLE
        display = VncDisplay(id, title, options, self)
        display.listen()
        self._displays[id] = display
        return display

    def find(self, id: str | None) -> VncDisplay | None:
        """Return the display of that ID, or the first; None where there is none."""
        return self.get(id) if id is not None else next(iter(self.values()), None)

    def close(self) -> None:
        """End all connections."""
        for display in self.values():
            display.close()

    # What displays ask.

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Tell an event."""
        self._machine.events.emit(name, data)

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        return self._machine.clock.wall()

    def secret(self, id: str) -> str:
        """Content of a secret. Raises QMPError in QEMU's words."""
        secret = find_secret(self._machine.board.objects, id)
        return secret.content.decode("utf-8", "surrogateescape")

    def check_head(self, device: str | None) -> None:
        """Raise QMPError in QEMU's words if there is no such display device."""
        if device is not None and not self._machine.board.has_device(device):
            raise DeviceNotFound(f"Device '{device}' not found")
