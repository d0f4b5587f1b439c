"""The VNC displays of one machine by ID, the first one first.

QEMU: ui/vnc.c (vnc_displays, vnc_display_find)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from qemu_sim.backends.secret import find_secret
from qemu_sim.errors import QMPError
from qemu_sim.vnc.display import VncDisplay

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_TITLE = "QEMU"
# Devices that a guest draws on.
_SCREENS = frozenset(
    {
        *("VGA", "secondary-vga", "bochs-display", "cirrus-vga", "vmware-svga", "ati-vga"),
        *("qxl", "qxl-vga", "ramfb", "isa-vga", "isa-cirrus-vga", "virtio-vga", "virtio-vga-gl"),
        *("virtio-gpu-pci", "virtio-gpu-gl-pci", "virtio-gpu-device"),
    }
)


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

    def check_screen(self, device: str | None, head: int) -> None:
        """Raise QMPError in QEMU's words if no device has that screen, or none has one."""
        board = self._machine.board
        if device is not None:
            found = board.device(device)
            if found.TYPE not in _SCREENS or head:
                raise QMPError(f"Device {device} (head {head}) is not bound to a QemuConsole")
        elif not any(each.TYPE in _SCREENS for each in board.devices):
            raise QMPError("There is no console to take a screendump from")

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
