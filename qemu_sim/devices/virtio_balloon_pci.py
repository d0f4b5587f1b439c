"""The device virtio-balloon-pci: it takes the guest no memory, as the guest has no driver for it.

QEMU: hw/virtio/virtio-balloon.c, system/balloon.c
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from qemu_sim.devices.device import Device, Parts
from qemu_sim.errors import QMPError

_INTERVAL = "guest-stats-polling-interval"
_LONGEST = (1 << 32) - 1  # seconds
_UNKNOWN = (1 << 64) - 1
_STATISTICS = (
    *("swap-in", "swap-out", "major-faults", "minor-faults", "free-memory", "total-memory"),
    *("available-memory", "disk-caches", "htlb-pgalloc", "htlb-pgfail"),
)
_NEWER = (9, 0, 0)  # than 7.2
_NEWER_STATISTICS = (
    *("oom-kills", "alloc-stalls", "async-scans", "direct-scans", "async-reclaims"),
    "direct-reclaims",
)


class VirtioBalloonPci(Device):
    """A balloon that stays empty."""

    TYPE = "virtio-balloon-pci"
    SETTABLE: ClassVar[Mapping[str, str]] = {_INTERVAL: "int"}

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Raises QMPError in QEMU's words if there is one already."""
        super().__init__(id, path, properties, parts)
        if parts.has_type(self.TYPE):
            raise QMPError("Only one balloon device is supported")
        self._interval = 0

    def values(self) -> dict[str, Any]:
        """Return how often the guest is asked for statistics, and those: it never told any."""
        is_newer = self.parts.version >= _NEWER
        names = (*_STATISTICS, *(_NEWER_STATISTICS if is_newer else ()))
        statistics = {f"stat-{name}": _UNKNOWN for name in names}
        return {_INTERVAL: self._interval, "guest-stats": {"stats": statistics, "last-update": 0}}

    def set(self, name: str, value: Any) -> None:
        """Ask the guest every `value` seconds, 0 for never."""
        assert name == _INTERVAL, name
        if value < 0:
            raise QMPError("timer value must be greater than zero")
        if value > _LONGEST:
            raise QMPError("timer value is too big")
        self._interval = value
