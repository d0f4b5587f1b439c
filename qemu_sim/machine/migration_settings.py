"""What a client sets before a migration: parameters, capabilities, and the dialect's part of both.

QEMU: migration/options.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim import catalog
from qemu_sim.errors import DeviceNotFound
from qemu_sim.migration.capabilities import Capabilities
from qemu_sim.migration.parameters import Parameters
from qemu_sim.migration.transfer import is_on_by_default

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qemu_sim.backends.netdev import Netdev
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.machine import Machine
    from qemu_sim.migration.dialects.dialect import Dialect, Found

_BY_ID = "/machine/peripheral/"


class MigrationSettings:
    """The settings of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        made = catalog.find("qemu_sim.migration.dialects", "", machine.options.dialect)
        assert made is not None, machine.options.dialect
        self.dialect: Dialect = made(self)
        self.capabilities = Capabilities(machine.profile, self.dialect.CAPABILITIES)
        self.parameters = Parameters(machine.profile, self.dialect.PARAMETERS)

    @property
    def devices(self) -> list[Device]:
        """All devices, in order."""
        return self._machine.board.devices

    @property
    def netdevs(self) -> Mapping[str, Netdev]:
        """All netdevs by ID."""
        return self._machine.board.netdevs

    @property
    def transfer_by_default(self) -> bool:
        """Whether the machine type is one of the profile's newest, or unversioned."""
        return is_on_by_default(self._machine.machine_type, self._machine.profile.newest_machines)

    def find_object(self, path: str) -> Found | None:
        """Return the object at a QOM path, which starts at the devices' IDs or at the root."""
        from qemu_sim.machine.qom import ObjectTree  # noqa: PLC0415 - only one dialect asks
        from qemu_sim.migration.dialects.dialect import Found  # noqa: PLC0415 - as above

        try:
            node = ObjectTree(self._machine).find(path if path.startswith("/") else _BY_ID + path)
        except DeviceNotFound:
            return None
        is_device = "device" in self._machine.profile.lineage(node.qom_type)
        return Found(node.path, node.qom_type, is_device)
