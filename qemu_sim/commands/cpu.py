"""CPUs, and the accelerator that would run them.

QEMU: qapi/machine.json, qapi/acpi.json, hw/core/machine-qmp-cmds.c, accel/accel-qmp.c,
hw/acpi/cpu.c (acpi_cpu_ospm_status)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError
from qemu_sim.machine.cpu_properties import cpu_type, has_cpus

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.machine import Machine

_NEWER = (8, 0, 0)  # than 7.2: tells the CPU's type, words one error in another way
_DIMM = "pc-dimm"
_NO_HOTPLUG = "machine does not support hot-plugging CPUs"
_NO_HOTPLUG_OLD = "The feature 'query-hotpluggable-cpus' is not enabled"


@command("query-cpus-fast")
def query_cpus_fast(machine: Machine) -> list[dict[str, Any]]:
    """Return the CPUs that are there, each with a thread of its own."""
    if not has_cpus(machine):
        return []
    kind = {"qom-type": cpu_type(machine)} if machine.profile.version >= _NEWER else {}
    return [
        {
            "cpu-index": cpu.number,
            "qom-path": cpu.path,
            "thread-id": thread_id,
            "props": cpu.properties,
            "target": machine.profile.arch,
            **kind,
        }
        for cpu, thread_id in machine.cpus.present()
    ]


@command("query-hotpluggable-cpus")
def query_hotpluggable_cpus(machine: Machine) -> list[dict[str, Any]]:
    """Return every CPU that the machine could have; the last comes first, as in QEMU."""
    if not machine.profile.machines[machine.machine_type]["hotpluggable-cpus"]:
        raise QMPError(_NO_HOTPLUG if machine.profile.version >= _NEWER else _NO_HOTPLUG_OLD)
    kind = cpu_type(machine)
    return [
        {
            "type": kind,
            "vcpus-count": 1,
            "props": cpu.properties,
            **({} if cpu.path is None else {"qom-path": cpu.path}),
        }
        for cpu in reversed(machine.cpus.possible())
    ]


@command("query-acpi-ospm-status")
def query_acpi_ospm_status(machine: Machine) -> list[dict[str, Any]]:
    """Return what the guest said of its slots: nothing, it has no ACPI driver."""
    if not machine.machine_type.startswith(("pc-", "microvm")):
        raise QMPError("command is not supported, missing ACPI device")
    slots = [("DIMM", machine.options.properties.get("memory", {}).get("slots", 0))]
    if machine.profile.version >= _NEWER and machine.machine_type != "microvm":
        slots.append(("CPU", machine.options.topology.maxcpus))
    names = {_slot(each): each.id for each in machine.board.devices if each.id is not None}
    return [
        {"slot": str(number), "slot-type": kind, "source": 0, "status": 0}
        | ({"device": names[kind, number]} if (kind, number) in names else {})
        for kind, count in slots
        for number in range(count)
    ]


def _slot(device: Device) -> tuple[str, int | None]:
    """Return which slot a device is in; one that is in none has no number."""
    if device.TYPE == _DIMM:
        return "DIMM", device.values()["slot"]
    return "CPU", device.cpu_number


@command("query-kvm")
def query_kvm(machine: Machine) -> dict[str, bool]:
    """Return whether KVM is used, which it is only where it could be."""
    return {"enabled": machine.options.accelerator == "kvm", "present": True}


@command("query-accelerators")
def query_accelerators(machine: Machine) -> dict[str, Any]:
    """Return the accelerator in use, and those that QEMU was built with."""
    present = machine.profile.section("query-accelerators")["present"]
    return {"enabled": machine.options.accelerator, "present": present}
