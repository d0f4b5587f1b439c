"""Arguments of `migrate`: the dialect of this project, after the lists of October 2025.

The two ends negotiate what travels, TAPs and vhost-user alike; transfer.py has the rule. A
destination opens nothing before it has seen the offer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qemu_sim.migration.dialects.dialect import Dialect
from qemu_sim.migration.transfer import plan

if TYPE_CHECKING:
    from qemu_sim.migration.dialects.dialect import Netdev
    from qemu_sim.migration.transfer import Plan


class Devices(Dialect):
    """backend-transfer and backend-transfer-devices, and a property of each device."""

    TYPE = "devices"
    NEGOTIATES = True

    def plan(self, *, transfer: bool, names: Sequence[str] | None) -> Plan | None:
        """Return the plan of a hand-over. Raises QMPError for a listed device that cannot."""
        if not transfer:
            return None
        return plan(self._machine.devices, names, self._machine.transfer_by_default)

    def opens_late(self, netdev: Netdev) -> bool:
        """Whether it does: always."""
        del netdev
        return True

    async def open_early(self) -> None:
        """Open nothing before the source's first words."""
