"""The CPUs of a machine: where each one sits, and the thread that stands for it.

QEMU: hw/core/machine-smp.c, hw/i386/x86-common.c (x86_possible_cpu_arch_ids)

A thread is made when a client first asks for the CPUs, so that an idle machine has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.backends.sleeper import Sleeper
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.options import MachineOptions

# From the innermost level to the outermost, with the member that numbers it. The first
# three are always told, the others only where there is more than one.
_IDS = {
    "threads": "thread-id",
    "cores": "core-id",
    "modules": "module-id",
    "dies": "die-id",
    "sockets": "socket-id",
}
_OFTEN_ONE = ("modules", "dies")
_NAME = "CPU {index}/{accelerator}"
_SPOKEN = {"tcg": "TCG", "kvm": "KVM", "qtest": "dummy"}


class CPU(NamedTuple):
    """A possible CPU: its number, its CpuInstanceProperties, its QOM path if it is there."""

    number: int
    properties: dict[str, int]
    path: str | None
    hotplugged: bool = False


class CPUs:
    """All CPUs of one machine, those that could be plugged included."""

    def __init__(self, options: MachineOptions, devices: Sequence[Device]) -> None:
        """`devices` are all that are plugged, now and later."""
        self._options = options
        self._devices = devices
        self._threads: dict[int, Sleeper] = {}
        self.nodes: dict[int, int] = {}  # NUMA nodes by the CPUs' numbers, where that is said

    def possible(self) -> list[CPU]:
        """Return every CPU that the machine could have, by number."""
        topology = self._options.topology
        found = [
            CPU(index, self._place(index), _path(index) if index < topology.cpus else None)
            for index in range(topology.maxcpus)
        ]
        for number, device in self._plugged().items():
            found[number] = found[number]._replace(path=device.path, hotplugged=device.hotplugged)
        return found

    def present(self) -> list[tuple[CPU, int]]:
        """Return each CPU that is there, the oldest first, and its thread."""
        possible = self.possible()
        numbers = (*range(self._options.topology.cpus), *self._plugged())
        there = {number: possible[number] for number in numbers}
        for number in self._threads.keys() - there:
            self._threads.pop(number).close()
        for number in sorted(there.keys() - self._threads):
            self._threads[number] = Sleeper(self._thread_name(number))
        return [(cpu, self._threads[number].thread_id) for number, cpu in there.items()]

    def find_slot(self, kind: str, wanted: str, properties: Mapping[str, Any]) -> int:
        """Return the number of the CPU at the place that `properties` tell, if it is free.

        Raises QMPError in QEMU's words. QEMU: hw/i386/x86-common.c (x86_cpu_pre_plug)
        """
        if kind != wanted:
            raise QMPError(f"Invalid CPU type, expected cpu type: '{wanted}'")
        number = apic_id = 0
        for level, member in reversed(_IDS.items()):
            count = self._options.topology.levels.get(level, 1)
            at = properties.get(member, 0 if level in _OFTEN_ONE and count == 1 else -1)
            if at < 0:
                raise QMPError(f"CPU {member} is not set")
            if at >= count:
                raise QMPError(f"Invalid CPU {member}: {at} must be in range 0:{count - 1}")
            number = number * count + at
            apic_id = (apic_id << (count - 1).bit_length()) + at
        if number < self._options.topology.cpus or number in self._plugged():
            raise QMPError(f"CPU[{number}] with APIC ID {apic_id} exists")
        node = self._place(number).get("node-id", 0)
        if properties.get("node-id", -1) not in (-1, node):
            raise QMPError(f"invalid node-id, must be {node}")
        return number

    def close(self) -> None:
        """End the threads."""
        for thread in self._threads.values():
            thread.close()
        self._threads.clear()

    def _plugged(self) -> dict[int, Device]:
        """CPUs that are devices, the oldest first."""
        return {each.cpu_number: each for each in self._devices if each.cpu_number is not None}

    @property
    def has_implicit_node(self) -> bool:
        """Whether QEMU makes a NUMA node by itself, for memory that may be plugged."""
        return not self.nodes and bool(self._options.properties.get("memory", {}).get("slots"))

    def _place(self, number_of_cpu: int) -> dict[str, int]:
        place = {}
        index = number_of_cpu
        for level, member in _IDS.items():
            count = self._options.topology.levels.get(level, 1)
            index, number = (0, index) if level == "sockets" else divmod(index, count)
            if count > 1 or level not in _OFTEN_ONE:
                place[member] = number
        if number_of_cpu in self.nodes:
            place["node-id"] = self.nodes[number_of_cpu]
        elif self.has_implicit_node:
            place["node-id"] = 0
        return place

    def _thread_name(self, index: int) -> str | None:
        if not self._options.debug_threads:
            return None
        return _NAME.format(index=index, accelerator=_SPOKEN[self._options.accelerator])


def _path(index: int) -> str:
    """Return the QOM path: the interrupt controller is made right after the first CPU."""
    return f"/machine/unattached/device[{index + 1 if index else 0}]"
