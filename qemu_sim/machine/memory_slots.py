"""Where memory goes that is plugged: above all RAM, in one of the slots that -m says.

QEMU: hw/mem/memory-device.c, hw/mem/pc-dimm.c, hw/i386/pc.c (pc_get_device_memory_range)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qemu_sim.devices.pc_dimm import PCDIMM
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_GIB = 1 << 30
_ALIGNMENT = 2 << 20  # of a backend's memory; util/oslib-posix.c (QEMU_VMALLOC_ALIGN)
# RAM of at least this size is split in two, and only so much stays below 4 GiB.
_SPLIT = {"pc-q35": (0xB0000000, 2 * _GIB), "pc-i440fx": (0xE0000001, 3 * _GIB)}


def dimms(machine: Machine) -> list[PCDIMM]:
    """Return what is plugged, by its address."""
    found = [device for device in machine.board.devices if isinstance(device, PCDIMM)]
    return sorted(found, key=lambda dimm: dimm.address)


def find(machine: Machine, size: int, properties: Mapping[str, Any]) -> tuple[int, int]:
    """Return address and slot for that much memory. Raises QMPError in QEMU's words."""
    split = next((_SPLIT[each] for each in _SPLIT if machine.machine_type.startswith(each)), None)
    if split is None:
        raise QMPError("Device 'pc-dimm' can not be hotplugged on this machine")
    slot = _slot(machine, properties.get("slot", -1))
    address = _address(machine, split, size, properties.get("addr", 0))
    nodes = machine.node_count
    if properties.get("node", 0) >= max(nodes, 1):
        raise QMPError(
            f"'DIMM property node has value {properties['node']}' which exceeds the number of "
            f"numa nodes: {nodes}"
        )
    return address, slot


def _slot(machine: Machine, wanted: int) -> int:
    count = machine.options.properties.get("memory", {}).get("slots", 0)
    if not count:
        raise QMPError("no slots where allocated, please specify the 'slots' option")
    if wanted >= count:
        raise QMPError(f"invalid slot number {wanted}, valid range is [0-{count - 1}]")
    used = {dimm.slot for dimm in dimms(machine)}
    if wanted >= 0:
        if wanted in used:
            raise QMPError(f"slot {wanted} is busy")
        return wanted
    free = next((slot for slot in range(count) if slot not in used), None)
    if free is None:
        raise QMPError("no free slots available")
    return free


def _address(machine: Machine, split: tuple[int, int], size: int, wanted: int) -> int:
    memory = machine.options.properties["memory"]
    total = memory["max-size"] - memory["size"]
    plugged = dimms(machine)
    used = sum(dimm.size for dimm in plugged)
    if size % _ALIGNMENT:
        raise QMPError(f"backend memory size must be multiple of {_ALIGNMENT:#x}")
    if used + size > total:
        raise QMPError(
            f"not enough space, currently {used:#x} in use of total space for memory devices "
            f"{total:#x}"
        )
    least, kept = split
    above = memory["size"] - kept if memory["size"] >= least else 0
    start = -(-(4 * _GIB + above) // _GIB) * _GIB
    space = total + memory["slots"] * _GIB  # there is room to align each
    if wanted:
        return _fitting(plugged, (start, space), size, wanted)
    address = start
    for dimm in plugged:
        if address + size <= dimm.address:
            break
        address = dimm.address + dimm.size
    return address


def _fitting(plugged: list[PCDIMM], usable: tuple[int, int], size: int, wanted: int) -> int:
    start, space = usable
    if wanted % _ALIGNMENT:
        raise QMPError(f"address must be aligned to {_ALIGNMENT:#x} bytes")
    if not start <= wanted <= wanted + size <= start + space:
        raise QMPError(
            f"can't add memory device [{wanted:#x}:{size:#x}], usable range for memory devices "
            f"[{start:#x}:{space:#x}]"
        )
    for dimm in plugged:
        if wanted < dimm.address + dimm.size and dimm.address < wanted + size:
            raise QMPError(f"address range conflicts with memory device id='{dimm.id or ''}'")
    return wanted
