"""HMP's "info pci": what query-pci answers, for a person.

QEMU: hw/pci/pci-hmp-cmds.c (hmp_info_pci_device)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qemu_sim.commands.hmp.table import Session, hmp

Info = dict[str, Any]

_PINS = "ABCD"
_SAYS_UNMAPPED = (8, 0, 0)  # 7.2 prints the address all the same
_MASK = (1 << 64) - 1
_RANGES = (
    ("IO range [0x{:04x}, 0x{:04x}]", "io_range"),
    ("memory range [0x{:08x}, 0x{:08x}]", "memory_range"),
    ("prefetchable memory range [0x{:08x}, 0x{:08x}]", "prefetchable_range"),
)


@hmp("info pci")
async def info_pci(session: Session) -> str:
    """Print the PCI devices, each followed by what is behind it."""
    is_newer = session.machine.profile.version >= _SAYS_UNMAPPED
    buses = await session.execute("query-pci")
    lines = [
        line for bus in buses for each in bus["devices"] for line in _device(each, newer=is_newer)
    ]
    return "".join(f"{line}\n" for line in lines)


def _device(device: Info, *, newer: bool) -> Iterator[str]:
    yield f"  Bus {device['bus']:2}, device {device['slot']:3}, function {device['function']}:"
    kind, id = device["class_info"], device["id"]
    name = kind.get("desc") or f"Class {kind['class']:04}"
    yield f"    {name}: PCI device {id['vendor']:04x}:{id['device']:04x}"
    if "subsystem" in id and "subsystem-vendor" in id:
        yield f"      PCI subsystem {id['subsystem-vendor']:04x}:{id['subsystem']:04x}"
    if "irq" in device:
        yield f"      IRQ {device['irq']}, pin {_PINS[device['irq_pin'] - 1]}"
    bridge = device.get("pci_bridge", {})
    yield from _bus(bridge)
    for region in device["regions"]:
        yield f"      BAR{region['bar']}: {_region(region, newer=newer)}"
    yield f'      id "{device["qdev_id"]}"'
    for behind in bridge.get("devices", ()):
        yield from _device(behind, newer=newer)


def _bus(bridge: Info) -> Iterator[str]:
    if not bridge:
        return
    bus = bridge["bus"]
    yield f"      BUS {bus['number']}."
    yield f"      secondary bus {bus['secondary']}."
    yield f"      subordinate bus {bus['subordinate']}."
    for text, name in _RANGES:
        yield f"      {text.format(bus[name]['base'], bus[name]['limit'])}"


def _region(region: Info, *, newer: bool) -> str:
    first = region["address"] & _MASK
    last = (first + region["size"] - 1) & _MASK
    if region["type"] == "io":
        kind, where = "I/O", f"at 0x{first:04x} [0x{last:04x}]"
    else:
        bits = 64 if region["mem_type_64"] else 32
        kind = f"{bits} bit{' prefetchable' if region['prefetch'] else ''} memory"
        where = f"at 0x{first:08x} [0x{last:08x}]"
    if newer:
        return f"{kind} {'(not mapped)' if region['address'] == -1 else where}"
    return f"{kind} {where}."
