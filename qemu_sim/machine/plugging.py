"""How a device is plugged: what it is, where it goes, and whether it may.

QEMU: system/qdev-monitor.c (qdev_device_add_from_qdict)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.devices import aliases
from qemu_sim.errors import QMPError
from qemu_sim.machine import device_class, pci_functions, pluggable

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.board import Board, CheckProperties
    from qemu_sim.machine.buses import Bus
    from qemu_sim.machine.options import MachineOptions
    from qemu_sim.qapi.profile import Profile

_NO_BUS = "none"


class Plugging:
    """Plugs devices into `board`; those that `profile` has are known, all of ours without one."""

    def __init__(
        self,
        board: Board,
        options: MachineOptions,
        profile: Profile | None,
        check_properties: CheckProperties,
    ) -> None:
        self._board = board
        self._options = options
        self._profile = profile
        self._check_properties = check_properties

    async def plug(
        self, kind: str, id: str | None, given: dict[str, Any], *, hotplug: bool, typed: bool
    ) -> Device | None:
        """See Board.add_device."""
        board = self._board
        kind = aliases.type_of(kind)
        is_primary = "failover_pair_id" in given
        if is_primary and board.failover.hides(kind, id, given, typed=typed):
            return None
        given = dict(given)
        at = {"bus": given.pop("bus")} if "bus" in given else {}  # no property of the type
        made = device_class.find(kind)
        bus = self._find_bus(kind, at.get("bus"), made, hotplug=hotplug) or board.buses.bare
        made = made or device_class.find_recorded(self._profile, kind, bus)
        if id is not None and any(device.id == id for device in board.devices):
            raise QMPError(f"Duplicate device ID '{id}'")
        properties = {**self._check_properties(kind, given, typed), **at}
        if made is None:
            raise QMPError(f"device '{kind}' is not simulated by qemu-sim")
        board.buses.check_room(bus)
        new = pci_functions.Occupant(kind, id, properties.get("multifunction", False) is True)
        place = pci_functions.find(bus, new, properties, board.version, hotplug=hotplug)
        if is_primary:
            board.failover.check(kind, bus.kind)
        device: Device = made(id, board.new_path(id), properties, board)
        device.hotplugged = hotplug
        await self._open(device, bus)
        board.buses.plug(bus, device)
        if place is not None:
            device.place = place
            bus.functions[place] = new
        board.devices.append(device)
        return device

    async def _open(self, device: Device, bus: Bus) -> None:
        try:
            device.settle(bus.devices, bus.slots)
            if not self._board.deferred or device.OPENS_EARLY:
                await device.open()
        except BaseException:
            self._board.withdraw(device)
            raise

    def _find_bus(
        self, kind: str, name: str | None, made: type[Device] | None, *, hotplug: bool
    ) -> Bus | None:
        """Return where a device would go; None if it is on no bus. Raises QMPError."""
        board = self._board
        wanted = made.BUS if made is not None else None
        if self._profile is not None:
            has_machine = self._options.machine_type != "none"
            pluggable.check(self._profile, kind, hotplug=hotplug, has_machine=has_machine)
            wanted = wanted or pluggable.bus_of(self._profile, kind)
            if hotplug and (wanted is None or wanted == _NO_BUS):
                pluggable.check_bare(kind, has_machine=has_machine)
        bus = None if wanted is None else board.buses.find(kind, name, wanted)
        if hotplug and bus is not None:
            board.buses.check_hotplug(kind, bus)
        return bus
