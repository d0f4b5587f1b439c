"""The parameter `backend-transfer` as a list of devices: version 9, October 2025.

Each is a QOM path, checked when the list is set: so set it behind device_add and before
migrate-incoming, where a destination decides. The device that supports it is the virtio
one; an ID such as "nic0" is that of the PCI device around it, which does not. Its path is
/machine/peripheral/nic0/virtio-backend, as query-backend-transfer-support says. Whether
the channel carries descriptors nobody asks before the first of them.

QEMU names a device without backend by its PCI address, which is not simulated; here it is
the name that was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qemu_sim.errors import QMPError
from qemu_sim.migration.dialects.dialect import Dialect

if TYPE_CHECKING:
    from qemu_sim.migration.dialects.dialect import Netdev
    from qemu_sim.migration.transfer import Transferable

_NAME = "backend-transfer"
_INNER = "/virtio-backend"  # child of a PCI proxy: hw/virtio/virtio-pci.c
_SUPPORTS = "virtio-net-device"
_WITH_ID = "/machine/peripheral/"


class List(Dialect):
    """A parameter that holds paths, and a command that lists those that may be in it."""

    TYPE = "list"
    PARAMETERS: ClassVar = {_NAME: []}

    def check_parameters(self, wanted: dict[str, Any]) -> None:
        """Raise QMPError for a device that does not exist, or cannot do it."""
        for name in wanted[_NAME]:
            self._check(name)

    def support(self) -> list[dict[str, Any]]:
        """Return the QAPI DevPath of each device with an ID that can do it, the last first."""
        paths = [
            device.path + _INNER
            for device in self._machine.devices
            if device.path.startswith(_WITH_ID) and self.tap(device) is not None
        ]
        return [{"path": path} for path in reversed(paths)]

    def is_asked_for(self, device: Transferable, tap: Netdev) -> bool:
        """Whether the device is listed, by whatever path."""
        del tap
        listed = (self._machine.find_object(name) for name in self._machine.parameters[_NAME])
        return any(found is not None and found.path == device.path + _INNER for found in listed)

    def _check(self, name: str) -> None:
        found = self._machine.find_object(name)
        if found is None:
            raise QMPError(f"Device '{name}' not found")
        if not found.is_device:
            raise QMPError(f"{name} is not a device")
        if found.kind != _SUPPORTS:
            raise QMPError(f"backend-transfer is not supported for '{found.kind}'")
        outer = found.path.removesuffix(_INNER)
        device = next(each for each in self._machine.devices if each.path == outer)
        if device.backend is None:
            raise QMPError(f"Device {name} has no attached backend")
        if self.tap(device) is None:
            kind = device.backend.TYPE
            raise QMPError(f"Device {name} backend is {kind}, does not support backend transfer")
