"""Properties of the machine itself, from -machine: which exist, and which matter here.

QEMU: hw/core/machine.c, hw/i386/pc.c, system/vl.c (qemu_apply_machine_options)

Which ones a machine type has is what the profile says. One that would change what a client
or a guest can see, and does not change it here, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.key_order import in_key_order
from qemu_sim.qapi import object_properties
from qemu_sim.qapi.pool import Entry
from qemu_sim.qapi.profile import Profile

# No property of the machine: these name it, or are read elsewhere.
_READ_ELSEWHERE = frozenset({"type", "accel", "smp", "memory", "boot", "memory-backend"})
# Once of the machine, now of the accelerator KVM, which has no guest code to run here.
_OF_KVM = frozenset({"kernel-irqchip", "kvm-shadow-mem"})

# There is no firmware and no guest code that could find these parts, or miss them.
_UNSEEN = frozenset(
    {
        *("acpi", "smm", "pit", "pic", "hpet", "vmport", "i8042", "smbus", "sata", "wdat"),
        *("hmat", "spcr", "nvdimm", "nvdimm-persistence", "fd-bootchk", "pcspk-audiodev"),
        *("firmware", "kernel", "initrd", "append", "shim", "dtb", "dt-compatible"),
        *("phandle-start", "x-oem-id", "x-oem-table-id", "smbios-entry-point-type"),
        *("max-fw-size", "max-ram-below-4g", "default-bus-bypass-iommu", "bus-lock-ratelimit"),
        *("graphics", "x-change-vmfd-on-reset"),
    }
)
# They tell the host what to do with guest RAM, and change nothing that is seen of it.
_HOST_HINTS = frozenset({"mem-merge", "dump-guest-core", "aux-ram-share"})
# What these switch on is not simulated; off, they are what a machine here is anyway.
_ONLY_OFF = frozenset({"usb", "cxl", "suppress-vmdesc"})


def machine_properties(
    profile: Profile, machine_type: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the given properties, typed, in QEMU's order. Raises QMPError in QEMU's words."""
    names = [name for name in in_key_order(given) if name not in _READ_ELSEWHERE | _OF_KVM]
    if not names:
        return {}  # the types' properties take long to load
    owner = f"{machine_type}-machine"
    listed = profile.qom_properties.get(owner) or []
    values = {}
    for name in names:
        entry = object_properties.find(owner, listed, name)
        values[name] = object_properties.read(entry, given[name])
        _check_simulated(entry, values[name])
    return values


def _check_simulated(entry: Entry, value: Any) -> None:
    name = entry["name"]
    if name in _UNSEEN | _HOST_HINTS or (name in _ONLY_OFF and not value):
        return
    text = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
    raise QMPError(f"machine property {name}={text} is not simulated by qemu-sim")
