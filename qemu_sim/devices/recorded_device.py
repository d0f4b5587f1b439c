"""A device that is what a real QEMU showed of one, and does nothing: the guest has no driver.

QEMU: system/qdev-monitor.c

Any type of device that was recorded can be plugged, and is seen in all queries. What needs
more of the host than a netdev, a chardev, a block node or an object was not recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from qemu_sim.devices.block_device import BlockDevice
from qemu_sim.devices.character_device import CharacterDevice
from qemu_sim.devices.device import Device
from qemu_sim.devices.network_device import NetworkDevice
from qemu_sim.errors import QMPError
from qemu_sim.qapi import plugged_lines

if TYPE_CHECKING:
    from qemu_sim.devices.device import Parts

Facts = Mapping[str, Any]

_log = logging.getLogger(__name__)
_HOSTS = ("pxb", "pxb-cxl", "pxb-pcie")  # bring a root bus of their own
_NIC = ("mac", "netdev")  # properties that make one


class RecordedDevice(Device):
    """One of `FACTS`; see qapi/plugged.py."""

    FACTS: ClassVar[Facts]

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Take what the properties name. Raises QMPError in QEMU's words."""
        self._check(properties.keys() - {"bus", "addr"})
        super().__init__(id, path, properties, parts)
        self._memory = None
        if properties.get("memdev"):
            self._memory = parts.claim_memory("memdev", properties["memdev"])

    def _check(self, given: Collection[str]) -> None:
        """Raise QMPError as QEMU did, if what it missed was not given."""
        refused, needs = self.FACTS.get("refused"), self.FACTS.get("needs")
        if refused is None:
            return
        if needs is None and given:
            raise QMPError(f"device '{self.TYPE}' is not simulated by qemu-sim")
        named = {name for name in needs or () if name in refused} or set(needs or ())
        if named.isdisjoint(given):
            raise QMPError(refused)

    @property
    def buses(self) -> Sequence[tuple[str, str]]:
        """What was recorded."""
        return plugged_lines.buses(self.FACTS.get("qtree", ()))

    def close(self) -> None:
        """Give back what the properties name."""
        super().close()
        if self._memory is not None:
            self._memory.taken = False


class _RecordedNIC(RecordedDevice, NetworkDevice):
    """A NIC that sends and receives no frame."""

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Say so, where frames would come. Raises QMPError in QEMU's words."""
        super().__init__(id, path, properties, parts)
        if self.netdev is not None:
            _log.warning("%s: the simulated guest has no driver for %s", self.name, self.TYPE)


class _RecordedDisk(RecordedDevice, BlockDevice):
    """One with a block node, or with room for one."""


class _RecordedPort(RecordedDevice, CharacterDevice):
    """One with a chardev, or with room for one."""


def of_type(
    kind: str, bus: str | None, facts: Facts, names: Sequence[str]
) -> type[RecordedDevice] | None:
    """Return the class of a type that was recorded; None for any other.

    `names` are those of the properties that the type has.
    """
    if kind in _HOSTS or ("qtree" not in facts and "refused" not in facts):
        return None
    refused = facts.get("refused", "")
    form: type[RecordedDevice] = RecordedDevice
    if "drive" in names:
        form = _RecordedDisk
    elif "chardev" in names:
        form = _RecordedPort
    elif all(name in names for name in _NIC):
        form = _RecordedNIC
    return type(
        "RecordedType",
        (form,),
        {
            "TYPE": kind,
            "BUS": bus or "none",
            "FACTS": facts,
            "IS_PROXY": plugged_lines.is_proxy(facts.get("qtree", ())),
            "REMOVABLE": "refused" not in facts,
            "NO_DRIVE": refused if "drive" in refused else BlockDevice.NO_DRIVE,
        },
    )
