"""The buses of a machine with the devices on them, as "info qtree" prints them.

QEMU: system/qdev-monitor.c (qdev_print, qbus_print), hw/pci/pci.c (pcibus_dev_print)

The board is printed as the recorded one, and a plugged device as the recorded one of its type,
with the properties and at the place that it has here; the newest on a bus comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.machine import pci
from qemu_sim.qapi import idle
from qemu_sim.qapi.plugged_lines import ID
from qemu_sim.qapi.sizes import size_text

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.machine import Machine

_PROPERTY = re.compile(r"( *)([\w-]+) = (.*)")
_DEVICE = re.compile(r" *dev: ([^,]+),")
_BUS = re.compile(r"( *)bus: (.*)")
_COUNT = re.compile(r" *(num-queues|num_queues|vectors) = (\d+) .*")
_ADDRESS = re.compile(r"addr \w\w:(\w\w)\.(\w), pci id")
_BAR = re.compile(r"( *bar (\d): [\w/]+) at .*")
_SIZED = re.compile(r"\d+ \([\d.]+ \w*B\)")
# Of the disk that was recorded: nothing is told of another's.
_OF_DISKS = frozenset({"cyls", "device_id", "heads", "lcyls", "lheads", "lsecs", "scsi-id", "secs"})
_BRIEF = ("bus: ", "type ", "dev: ")
_MASK = (1 << 64) - 1
# What firmware sets in parts of the chipset.
_BY_FIRMWARE = {"q35-pcihost": {"MCFG": 0xB0000000}, "PIIX4_PM": {"smb_io_base": 0x700}}
# Where RAM goes on above 4 GiB: at which size, and how much stays below.
# QEMU: hw/i386/pc_q35.c, hw/i386/pc_piix.c
_SPLITS = {"q35": (0xB0000000, 0x80000000), "pc": (0xE0000000, 0xC0000000)}


def lines(machine: Machine, *, brief: bool) -> list[str]:
    """Return what is printed; without properties if `brief`."""
    printed = _Printing(machine).board()
    if brief:
        return [line for line in printed if line.lstrip().startswith(_BRIEF)]
    return printed


class _Printing:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._buses = {bus.name: bus for bus in machine.board.buses if bus.name}
        self._functions = pci.by_place(machine)

    def board(self) -> list[str]:
        family = idle.family(self._machine.machine_type) or ""
        recorded = self._machine.profile.idle_qtree.get(family)
        if recorded is None:
            raise QMPError(f"not simulated by qemu-sim: info qtree of {family or 'this machine'}")
        split = _SPLITS.get(family)
        told = {} if split is None else _ram(self._machine.options.memory_size, *split)
        return self._filled(self._chipset([_changed(line, told) for line in recorded]), None)

    def _chipset(self, recorded: list[str]) -> Iterator[str]:
        """Yield lines with the addresses that the firmware gave the chipset."""
        info: pci.Info | None = None
        told: Mapping[str, Any] = {}
        has_run = self._machine.execution.found is not None
        for line in recorded:
            part = _DEVICE.match(line)
            if part is not None:
                told = _BY_FIRMWARE.get(part[1], {}) if has_run else {}
            found = _ADDRESS.search(line)
            if found is not None:
                info = self._functions.get((None, 8 * int(found[1], 16) + int(found[2])))
            yield _mapped(_changed(line, told), info)

    def _filled(self, recorded: Iterable[str], maker: Device | None) -> list[str]:
        """Return lines, and the plugged devices below their buses."""
        printed: list[str] = []
        behind: list[str] = []
        for line in recorded:
            printed += [line, *behind]  # after the line of a bus comes that with its type
            behind = []
            found = _BUS.fullmatch(line)
            bus = None if found is None else self._buses.get(found[2])
            if found is not None and bus is not None and bus.maker is maker:
                devices = [
                    each for device in reversed(bus.devices) for each in self._device(device)
                ]
                behind = [f"{found[1]}  {each}" for each in devices]
        return printed

    def _device(self, device: Device) -> list[str]:
        place = self._machine.board.buses.of(device).record
        facts = self._machine.profile.plugged.get(place, {}).get(device.TYPE, {})
        given = {name: value for name, value in device.properties.items() if name != "bus"}
        if not facts.get("qtree"):
            told = [f"  {name} = {_as(value, '')}" for name, value in given.items()]
            return [f'dev: {device.TYPE}, id "{device.id or ""}"', *told]
        own = given | self._of_place(device)
        own |= {} if device.netdev_id is None else {"netdev": device.netdev_id}
        own |= {name: "" for name in facts.get("needs", ()) if name not in given}
        mac = getattr(device, "mac", None)
        own |= {} if mac is None else {"mac": mac}
        own = _queues(facts["qtree"], self._machine.options.topology.cpus) | own
        recorded = [
            _changed(line.replace(ID, device.id or ""), own)
            for line in facts["qtree"]
            if _name(line) not in _OF_DISKS - given.keys()
        ]
        if device.place is not None:
            info = self._functions[device, device.place]
            recorded = [_mapped(_placed(line, info), info) for line in recorded]
        return self._filled(recorded, device)

    def _of_place(self, device: Device) -> dict[str, Any]:
        """Return the properties that say where a PCI device is."""
        if device.place is None:
            return {}
        return {"addr": device.place, "busnr": self._functions[device, device.place]["bus"]}


def _ram(size: int, at: int, below: int) -> dict[str, Any]:
    low = below if size >= at else size
    return {"below-4g-mem-size": low, "above-4g-mem-size": size - low}


def _name(line: str) -> str | None:
    found = _PROPERTY.fullmatch(line)
    return None if found is None else found[2]


def _queues(recorded: Iterable[str], cpus: int) -> dict[str, int]:
    """Return how many queues and vectors there are: the record has one CPU."""
    found = [match for line in recorded if (match := _COUNT.fullmatch(line))]
    if not any(match[1] != "vectors" for match in found):
        return {}
    return {match[1]: int(match[2]) + cpus - 1 for match in found}


def _changed(line: str, told: Mapping[str, Any]) -> str:
    """Return the line of a property with the value that it has here."""
    found = _PROPERTY.fullmatch(line)
    if found is None or found[2] not in told:
        return line
    name, value = found[2], told[found[2]]
    if name == "addr" and isinstance(value, int):
        return f"{found[1]}addr = {value // 8:02x}.{value % 8:x}"
    return f"{found[1]}{name} = {_as(value, found[3])}"


def _as(value: Any, like: str) -> str:
    if isinstance(value, bool):
        return f'"{"on" if value else "off"}"' if like.startswith('"') else str(value).lower()
    if isinstance(value, int):
        return f"{value} ({size_text(value) if _SIZED.fullmatch(like) else hex(value)})"
    return f'"{value}"'


def _placed(line: str, info: pci.Info) -> str:
    """Return the line of a PCI function with its place; before firmware all buses are 0."""
    place = f"{info['bus']:02x}:{info['slot']:02x}.{info['function']:x}"
    return _ADDRESS.sub(f"addr {place}, pci id", line)


def _mapped(line: str, info: pci.Info | None) -> str:
    """Return the line of a BAR with the address that the firmware gave it."""
    found = _BAR.fullmatch(line)
    if found is None or info is None:
        return line
    region = next(each for each in info["regions"] if each["bar"] == int(found[2]))
    first = region["address"] & _MASK
    return f"{found[1]} at 0x{first:x} [0x{(first + region['size'] - 1) & _MASK:x}]"
