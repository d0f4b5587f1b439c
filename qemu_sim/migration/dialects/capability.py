"""The capability `local-tap` and a TAP's option local-incoming: versions 2 and 3, 2025.

All TAPs travel, or none. On the destination a TAP with local-incoming=true is never opened,
and any other one at once; the capability may be set until the stream is there. Whether the
channel carries descriptors nobody asks before the first of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.migration.dialects.dialect import Dialect

if TYPE_CHECKING:
    from qemu_sim.migration.dialects.dialect import Netdev
    from qemu_sim.migration.transfer import Transferable

_NAME = "local-tap"


class Capability(Dialect):
    """A capability on both sides, and an option of each TAP on the destination."""

    TYPE = "capability"
    CAPABILITIES = (_NAME,)
    HAS_TUNNEL = False

    def opens_late(self, netdev: Netdev) -> bool:
        """Whether descriptors are to come."""
        return netdev.TYPE != "tap" or bool(netdev.options.get("local-incoming", False))

    def stays_closed(self, device: Transferable) -> bool:
        """Whether it does: what is not open by now never is."""
        tap = self.tap(device)
        return tap is not None and not tap.is_open

    def is_asked_for(self, device: Transferable, tap: Netdev) -> bool:
        """Whether TAPs travel at all."""
        del device, tap
        return self._machine.capabilities.enabled(_NAME)
