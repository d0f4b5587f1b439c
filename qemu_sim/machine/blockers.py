"""Why a machine cannot migrate: what some part of it says, or its RAM.

QEMU: migration/migration.c (migration_is_blocked), system/physmem.c (ram_block_add_cpr_blocker)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.migration import cpr

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qemu_sim.machine.machine import Machine

# The memory of a PC beside its RAM, in the order in which it is made: before devices, and after.
_FIRMWARE = ("pc.bios", "pc.rom")
_TABLES = ("/rom@etc/acpi/tables", "/rom@etc/table-loader", "/rom@etc/acpi/rsdp")
_WITHOUT_ROM = "microvm"


def blockers(machine: Machine) -> list[str]:
    """Return every reason, in QEMU's words, the oldest first: QEMU names the latest."""
    found = (device.migration_blocker for device in machine.board.devices)
    devices = [reason for reason in found if reason is not None]
    if machine.migration_mode != cpr.TRANSFER or not machine.options.has_ram:
        return devices
    ram = [] if machine.memory.shared else [machine.memory.name]
    if machine.machine_type == "none" or machine.options.properties.get("aux-ram-share"):
        return _volatile(ram) + devices
    firmware = _FIRMWARE[:1] if machine.machine_type == _WITHOUT_ROM else _FIRMWARE
    return _volatile([*ram, *firmware]) + devices + _volatile(_TABLES)


def _volatile(names: Iterable[str]) -> list[str]:
    return [
        f"Memory region {name} is not compatible with CPR. share=on is required for "
        "memory-backend objects, and aux-ram-share=on is required."
        for name in names
    ]
