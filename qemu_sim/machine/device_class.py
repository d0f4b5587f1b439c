"""Which class stands for a type of device: one with a file, a CPU model, or what was recorded.

QEMU: system/qdev-monitor.c (qdev_get_device_class)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim import catalog
from qemu_sim.devices import recorded_device, x86_64_cpu

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.buses import Bus
    from qemu_sim.qapi.profile import Profile


def find(kind: str) -> type[Device] | None:
    """Return the class of a type that does something; None where it has none."""
    found: type[Device] | None = catalog.find("qemu_sim.devices", "", kind)
    return found or x86_64_cpu.of_type(kind)


def find_recorded(profile: Profile | None, kind: str, bus: Bus) -> type[Device] | None:
    """Return the class of a type that a real QEMU had on such a bus; None where it had not."""
    if profile is None:
        return None
    facts = profile.plugged.get(bus.record, {}).get(kind, {})
    listed = profile.device_properties.get(kind) or []
    return recorded_device.of_type(kind, bus.kind, facts, [each["name"] for each in listed])
