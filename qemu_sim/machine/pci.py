"""The PCI buses of a machine with what is on them, as query-pci lists it.

QEMU: hw/pci/pci-qmp-cmds.c (qmp_query_pci)

The chipset is listed as the recorded machine listed it, and a plugged device as the recorded
one of its type, at its own place. BARs, interrupt lines and bus numbers are those that the
firmware gives when the guest starts (pci_firmware.py); before, and for what is plugged later,
there are none, and nothing is listed behind a bridge without a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.key_order import as_put_in
from qemu_sim.machine.pci_firmware import OF_BRIDGE, OF_PORT, Function, assign
from qemu_sim.machine.pci_functions import FUNCTIONS
from qemu_sim.qapi import idle

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.buses import Bus
    from qemu_sim.machine.machine import Machine

Info = dict[str, Any]

_QUERY = "query-pci"
_ROM = 6
# Not recorded, as it needs a server, and the same on PCI.
_LIKE = {"vhost-user-blk-pci": "virtio-blk-pci"}
# Bridges whose firmware keeps addresses for what comes later, even where hotplug=off.
_PORTS = frozenset({"pcie-root-port", "ioh3420", "xio3130-downstream"})
_BRIDGES = frozenset({"pci-bridge", "pcie-pci-bridge"})  # those with a hotplug controller


def query(machine: Machine) -> list[Info]:
    """Return the PciInfo of each root bus. Raises QMPError where too little was recorded."""
    family = idle.family(machine.machine_type) or ""
    recorded = machine.profile.idle_answers.get(family, {}).get(_QUERY)
    if recorded is None:
        raise QMPError(f"not simulated by qemu-sim: {_QUERY} of {machine.machine_type}")
    found: list[Info] = as_put_in(recorded["return"])
    if found:
        found[0]["devices"] = [_listed(each) for each in _functions(machine, found[0]["devices"])]
    return found


def by_place(machine: Machine) -> dict[tuple[Device | None, int], Info]:
    """Return the PciDeviceInfo of what is plugged, and of the chipset (None), by place."""
    family = idle.family(machine.machine_type) or ""
    recorded = machine.profile.idle_answers.get(family, {}).get(_QUERY, {"return": []})["return"]
    if not recorded:
        return {}
    waiting = _functions(machine, as_put_in(recorded[0]["devices"]))
    found = {}
    while waiting:
        function = waiting.pop()
        found[function.device, function.place] = function.info
        waiting += function.behind
    return found


def _functions(machine: Machine, chipset: list[Info]) -> list[Function]:
    """Return what is on the bus of the board, with all that the firmware gave it."""
    root = machine.board.buses.pci_root
    plugged = [] if root is None else _Listing(machine).of(root)
    functions = sorted([*map(_function, chipset), *plugged], key=lambda each: each.place)
    if machine.execution.found is not None:
        assign(functions, is_q35=idle.family(machine.machine_type) == "q35")
    return functions


class _Listing:
    """Collects what is plugged."""

    def __init__(self, machine: Machine) -> None:
        self._buses = machine.board.buses
        self._recorded = machine.profile.plugged
        self._found = set(machine.execution.found or ())

    def of(self, bus: Bus) -> list[Function]:
        """Return what is plugged into one bus, in the order of places."""
        functions = [self._of_device(bus, device) for device in bus.devices]
        return sorted(functions, key=lambda each: each.place)

    def _of_device(self, bus: Bus, device: Device) -> Function:
        facts = self._recorded.get(bus.record, {}).get(_LIKE.get(device.TYPE, device.TYPE), {})
        if "pci" not in facts:
            raise QMPError(f"not simulated by qemu-sim: {_QUERY} with '{device.TYPE}'")
        assert device.place is not None, device
        slot, function = divmod(device.place, FUNCTIONS)
        info = as_put_in(facts["pci"]) | {
            "qdev_id": device.id or "",
            "slot": slot,
            "function": function,
            "bus": 0,
        }
        info["regions"] = [each for each in info["regions"] if _has(device, each["bar"])]
        made = [each for each in self._buses.behind(device) if each.is_pci]
        behind = [function for each in made for function in self.of(each)]
        return Function(info, behind, device, found=device in self._found, keeps=_kept(device))


def _function(info: Info) -> Function:
    return Function(info, [])


def _has(device: Device, bar: int) -> bool:
    """Whether a device has one of the BARs that its type has, with the properties given."""
    given = device.properties
    if device.IS_PROXY and given.get("vectors") == 0:
        raise QMPError(f"not simulated by qemu-sim: {_QUERY} of '{device.name}' with vectors=0")
    is_rom = bar == _ROM
    return not is_rom or (given.get("romfile", "?") != "" and given.get("rombar") not in (0, False))


def _kept(device: Device) -> tuple[str, ...]:
    """Return of what firmware leaves some for what is plugged behind a bridge later."""
    if device.TYPE in _PORTS:
        return OF_PORT
    has_controller = device.TYPE in _BRIDGES and device.properties.get("shpc") is not False
    return OF_BRIDGE if has_controller else ()


def _listed(function: Function) -> Info:
    bridge = function.info.get("pci_bridge")
    if bridge is not None:
        bridge.pop("devices", None)
        if bridge["bus"]["secondary"]:
            bridge["devices"] = [_listed(each) for each in function.behind]
    return function.info
