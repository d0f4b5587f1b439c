"""The device pcie-root-port: a slot that takes one device while the machine runs.

QEMU: hw/pci-bridge/gen_pcie_root_port.c
"""

from __future__ import annotations

from collections.abc import Sequence

from qemu_sim.devices.device import Device


class PcieRootPort(Device):
    """A PCI Express root port. The bus it makes bears its ID."""

    TYPE = "pcie-root-port"

    @property
    def buses(self) -> Sequence[tuple[str, str]]:
        """One, called as the device itself."""
        return (("", "PCIE"),)
