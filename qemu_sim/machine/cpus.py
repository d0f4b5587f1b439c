"""The CPUs of a machine: where each one sits, and the thread that stands for it.

QEMU: hw/core/machine-smp.c, hw/i386/x86-common.c (x86_possible_cpu_arch_ids)

A thread is made when a client first asks for the CPUs, so that an idle machine has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qemu_sim.backends.sleeper import Sleeper

if TYPE_CHECKING:
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


class CPUs:
    """All CPUs of one machine, those that could be plugged included."""

    def __init__(self, options: MachineOptions) -> None:
        self._options = options
        self._threads: list[Sleeper] = []

    def possible(self) -> list[CPU]:
        """Return every CPU that the machine could have, by number."""
        topology = self._options.topology
        return [
            CPU(index, self._place(index), _path(index) if index < topology.cpus else None)
            for index in range(topology.maxcpus)
        ]

    def thread_ids(self) -> list[int]:
        """Return the thread of each CPU that is there."""
        for index in range(len(self._threads), self._options.topology.cpus):
            self._threads.append(Sleeper(self._thread_name(index)))
        return [thread.thread_id for thread in self._threads]

    def close(self) -> None:
        """End the threads."""
        for thread in self._threads:
            thread.close()
        self._threads.clear()

    def _place(self, index: int) -> dict[str, int]:
        place = {}
        for level, member in _IDS.items():
            count = self._options.topology.levels.get(level, 1)
            index, number = (0, index) if level == "sockets" else divmod(index, count)
            if count > 1 or level not in _OFTEN_ONE:
                place[member] = number
        if self._options.properties.get("memory", {}).get("slots"):
            place["node-id"] = 0  # memory hotplug makes QEMU create a NUMA node
        return place

    def _thread_name(self, index: int) -> str | None:
        if not self._options.debug_threads:
            return None
        return _NAME.format(index=index, accelerator=_SPOKEN[self._options.accelerator])


def _path(index: int) -> str:
    """Return the QOM path: the interrupt controller is made right after the first CPU."""
    return f"/machine/unattached/device[{index + 1 if index else 0}]"
