"""PCI devices.

QEMU: qapi/pci.json
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("query-pci")
def query_pci(machine: Machine) -> list[dict[str, Any]]:
    """Return the PCI buses with what is on them."""
    from qemu_sim.machine import pci  # noqa: PLC0415 - not at a start

    return pci.query(machine)
