"""The device pcie-pci-bridge: a PCI bus in a PCI Express slot.

QEMU: hw/pci-bridge/pcie_pci_bridge.c
"""

from __future__ import annotations

from collections.abc import Sequence

from qemu_sim.devices.device import Device


class PciePciBridge(Device):
    """A bridge. The bus it makes bears its ID."""

    TYPE = "pcie-pci-bridge"

    @property
    def buses(self) -> Sequence[tuple[str, str]]:
        """One, called as the device itself."""
        return (("", "PCI"),)
