"""The object main-loop: the event loop of the process, of which there is one.

QEMU: util/main-loop.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.event_loop import EventLoop
from qemu_sim.backends.object import Place
from qemu_sim.errors import QMPError


class MainLoop(EventLoop):
    """It stays until the end."""

    TYPE = "main-loop"
    IN_USE = "Deleting main loop '{}' is not supported"

    @property
    def in_use(self) -> bool:
        """Always."""
        return True

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Raises QMPError in QEMU's words, also if there is one already."""
        super().__init__(id, options, place)
        if any(isinstance(each, MainLoop) for each in self.place.objects.values()):
            raise QMPError("only one main-loop instance allowed")
