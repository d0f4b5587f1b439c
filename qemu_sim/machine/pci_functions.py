"""Slots and functions of a PCI bus, and what QEMU says where there is none for a device.

QEMU: hw/pci/pci.c (do_pci_register_device, pci_init_multifunction)

A place is a number: 8 times the slot, and the function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.machine.buses import Bus

FUNCTIONS = 8  # of a slot
_PLACES = 256
# Behind a port a guest looks at slot 0 only; 7.2 looks at the device's own slot there, too.
_FIRST_OF_PORT = (8, 0, 0)


class Occupant(NamedTuple):
    """What is at a place."""

    kind: str
    id: str | None
    multifunction: bool = False


# The chipset, by the bus of the board.
_CHIPSETS = {
    "pcie.0": {
        0x00: Occupant("mch", None),
        0xF8: Occupant("ICH9-LPC", None, multifunction=True),
        0xFA: Occupant("ich9-ahci", None, multifunction=True),
        0xFB: Occupant("ICH9-SMB", None, multifunction=True),
    },
    "pci.0": {
        0x00: Occupant("i440FX", None),
        0x08: Occupant("PIIX3", None, multifunction=True),
        0x09: Occupant("piix3-ide", None),
        0x0B: Occupant("PIIX4_PM", None),
    },
}


def chipset(bus: str) -> Mapping[int, Occupant]:
    """Return what is on a bus before anything is plugged."""
    return _CHIPSETS.get(bus, {})


def find(
    bus: Bus,
    new: Occupant,
    properties: Mapping[str, Any],
    version: tuple[int, int, int],
    *,
    hotplug: bool,
) -> int | None:
    """Return where a device goes, None on a bus without places. Raises QMPError in QEMU's words."""
    if not bus.is_pci:
        return None
    taken = {**chipset(bus.name), **bus.functions}
    place = _free_place(taken, new, properties.get("addr"))
    if hotplug:
        is_port = bus.record == "port" and version >= _FIRST_OF_PORT
        _check_seen(taken, new, 0 if is_port else place // FUNCTIONS)
    _check_functions(taken, new, place)
    return place


def _free_place(taken: Mapping[int, Occupant], new: Occupant, address: str | int | None) -> int:
    place = -1 if address is None else place_of(address)
    if place >= 0:
        _check_free(taken, new, place)
        return place
    for free in range(0, _PLACES, FUNCTIONS):
        if free not in taken:
            return free
    raise QMPError(f"PCI: no slot/function available for {new.kind}, all in use or reserved")


def place_of(address: str | int) -> int:
    """Return the place that a device's property `addr` means: "1f.3", or the number itself."""
    if isinstance(address, int):
        return address
    slot, _, function = address.partition(".")
    return FUNCTIONS * int(slot, 16) + int(function or "0", 16)


def _check_seen(taken: Mapping[int, Occupant], new: Occupant, slot: int) -> None:
    """Raise QMPError if a guest that has seen function 0 of `slot` looks for no other."""
    first = taken.get(FUNCTIONS * slot)
    if first is not None:
        raise QMPError(
            f"PCI: slot {slot} function 0 already occupied by {first.kind},"
            f" new func {new.kind} cannot be exposed to guest."
        )


def _check_functions(taken: Mapping[int, Occupant], new: Occupant, place: int) -> None:
    """Raise QMPError in QEMU's words where function 0 of a slot belies the others."""
    slot, function = divmod(place, FUNCTIONS)
    if function:
        first = taken.get(FUNCTIONS * slot)
        if first is not None and not first.multifunction:
            raise QMPError(
                f"PCI: single function device can't be populated in function {slot:x}.{function:x}"
            )
        return
    others = [number for number in range(1, FUNCTIONS) if place + number in taken]
    if others and not new.multifunction:
        raise QMPError(
            f"PCI: {slot:x}.0 indicates single function, but {slot:x}.{others[0]:x}"
            " is already populated."
        )


def _check_free(taken: Mapping[int, Occupant], new: Occupant, place: int) -> None:
    old = taken.get(place)
    if old is not None:
        slot, function = divmod(place, FUNCTIONS)
        raise QMPError(
            f"PCI: slot {slot} function {function} not available for {new.kind},"
            f" in use by {old.kind},id={old.id or '(null)'}"
        )
