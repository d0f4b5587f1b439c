"""What a PC's firmware gives to PCI functions: bus numbers, addresses, interrupt lines.

QEMU: roms/seabios, src/fw/pciinit.c

The buses are numbered depth first. On each, what needs most room comes first; what is on the
board goes below the end of the 32-bit window, the prefetchable memory (or what is aligned
more) last. What does not fit there, and what a machine with more than 4 GiB of RAM
has above them, is not simulated: everything stays below 4 GiB.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device

Info = dict[str, Any]

_IO, _MEMORY, _PREFETCHABLE = "io", "memory", "prefetchable"
OF_PORT = (_MEMORY, _PREFETCHABLE)
OF_BRIDGE = (_IO, *OF_PORT)
_RANGES = {_IO: "io_range", _MEMORY: "memory_range", _PREFETCHABLE: "prefetchable_range"}
_SMALLEST = 0x1000  # of a BAR in memory
_BRIDGE_GRAIN = {_IO: 0x1000, _MEMORY: 0x200000, _PREFETCHABLE: 0x200000}
_MEMORY_END = 0xFEC00000
_IO_BASE, _IO_ROOM, _LOW_IO_BASE, _LOW_IO_ROOM = 0xC000, 0x4000, 0x1000, 0x9000
_IRQS = (10, 10, 11, 11)
_ROM = 6
_UNMAPPED = -1
# Programmed apart: the power management of a PC, and the SMBus of a q35.
_PIIX4_PM, _PIIX4_PM_IRQ = 0x7113, 9
_ICH9_SMBUS, _SMBUS_ADDRESS = 0x2930, 0x700


@dataclass(slots=True)
class Function:
    """One PCI function: its PciDeviceInfo, which is changed in place, and what is behind it.

    `device` is None for a part of the chipset.

    `found`: it was there when the firmware looked. `keeps`: the kinds of addresses of which
    a bridge keeps some for what is plugged later.
    """

    info: Info
    behind: list[Function]
    device: Device | None = None
    found: bool = True
    keeps: tuple[str, ...] = ()

    @property
    def place(self) -> int:
        """8 times the slot, and the function."""
        return 8 * int(self.info["slot"]) + int(self.info["function"])

    @property
    def bridge(self) -> Info | None:
        """Its PciBusInfo, if it is a bridge."""
        found = self.info.get("pci_bridge")
        return None if found is None else found["bus"]


@dataclass(slots=True)
class _Entry:
    """Room for a BAR (`region`), or for what is behind a bridge (`region` is None)."""

    function: Function
    size: int
    align: int
    region: Info | None = None


def assign(functions: list[Function], *, is_q35: bool) -> None:
    """Give numbers, addresses and interrupt lines to what is on the board, and behind that."""
    found = _found(functions)
    _number(found, 0)
    rooms = {kind: _entries(found, kind) for kind in _RANGES}
    for kind, base in _root_bases(rooms).items():
        _place(rooms[kind], kind, base)
    _set_lines(found, is_q35=is_q35, pin_offset=0, root_slot=None)


def _found(functions: Iterable[Function]) -> list[Function]:
    return [each for each in functions if each.found]


def _number(functions: Iterable[Function], bus: int, last: int = 0) -> int:
    """Number the buses behind bridges of one bus; returns the highest number so far."""
    for each in functions:
        bridge = each.bridge
        if bridge is not None:
            number = last + 1
            last = _number(_found(each.behind), number, number)
            bridge.update(number=bus, secondary=number, subordinate=last)
            for behind in each.behind:
                behind.info["bus"] = number
    return last


def _kind(region: Info) -> str:
    if region["type"] == _IO:
        return _IO
    return _PREFETCHABLE if region["prefetch"] else _MEMORY


def _entries(functions: list[Function], kind: str) -> list[_Entry]:
    """Return what one bus needs of a kind: what is aligned most, then what is largest, first.

    The firmware goes through BARs first, and then through bridges from the last one on.
    """
    entries = []
    for each in functions:
        for region in each.info["regions"]:
            if _kind(region) == kind:
                size = region["size"] if kind == _IO else max(region["size"], _SMALLEST)
                entries.append(_Entry(each, size, size, region))
    bridges = [each for each in reversed(functions) if each.bridge is not None]
    entries += [_bridge_entry(each, kind) for each in bridges]
    return sorted(entries, key=lambda entry: (-entry.align, -entry.size))


def _bridge_entry(bridge: Function, kind: str) -> _Entry:
    inner = _entries(_found(bridge.behind), kind)
    align = max(_BRIDGE_GRAIN[kind], _align(inner))
    needed = _room(inner) or (align if kind in bridge.keeps else 0)
    return _Entry(bridge, -(-needed // align) * align, align)


def _root_bases(rooms: dict[str, list[_Entry]]) -> dict[str, int]:
    """Return where each kind begins on the board."""
    io_room = _room(rooms[_IO])
    is_low = _IO_ROOM <= io_room < _LOW_IO_ROOM
    first, last = _MEMORY, _PREFETCHABLE
    if _align(rooms[first]) < _align(rooms[last]):
        first, last = last, first
    last_base = (_MEMORY_END - _room(rooms[last])) // _align(rooms[last]) * _align(rooms[last])
    first_base = (last_base - _room(rooms[first])) // _align(rooms[first]) * _align(rooms[first])
    return {_IO: _LOW_IO_BASE if is_low else _IO_BASE, first: first_base, last: last_base}


def _room(entries: list[_Entry]) -> int:
    return sum(entry.size for entry in entries)


def _align(entries: list[_Entry]) -> int:
    return entries[0].align if entries else 1


def _place(entries: list[_Entry], kind: str, base: int) -> None:
    for entry in entries:
        if entry.region is None:
            _open_window(entry, kind, base)
        elif entry.region["bar"] != _ROM:  # a ROM is unmapped again once it has been copied
            is_smbus = entry.function.info["id"]["device"] == _ICH9_SMBUS
            entry.region["address"] = _SMBUS_ADDRESS if is_smbus and kind == _IO else base
        base += entry.size


def _open_window(entry: _Entry, kind: str, base: int) -> None:
    bridge = entry.function.bridge
    assert bridge is not None
    bridge[_RANGES[kind]] = {"base": base, "limit": base + entry.size - 1}
    _place(_entries(_found(entry.function.behind), kind), kind, base)


def _set_lines(
    functions: list[Function], *, is_q35: bool, pin_offset: int, root_slot: int | None
) -> None:
    for each in functions:
        slot = each.info["slot"]
        on_root = slot if root_slot is None else root_slot
        pin = each.info["irq_pin"] + pin_offset + (0 if root_slot is None else slot)
        if each.info["irq_pin"]:
            is_pm = each.info["id"]["device"] == _PIIX4_PM
            each.info["irq"] = _PIIX4_PM_IRQ if is_pm else _line(pin, on_root, is_q35=is_q35)
        offset = pin_offset + (0 if root_slot is None else slot)
        _set_lines(_found(each.behind), is_q35=is_q35, pin_offset=offset, root_slot=on_root)


_LAST_ROTATED = 24  # slots of a q35 whose pins are rotated


def _line(pin: int, slot: int, *, is_q35: bool) -> int:
    if is_q35:
        return _IRQS[(pin - 1 + (slot if slot <= _LAST_ROTATED else 0)) % 4]
    return _IRQS[(pin - 1 + slot - 1) % 4]
