"""The NUMA nodes of a machine: which RAM and which CPUs belong together.

QEMU: hw/core/numa.c, hw/core/machine.c (machine_set_cpu_numa_node)

A client describes them by -numa, or by set-numa-node before the machine is initialized. Nothing
that the simulated guest does depends on them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qemu_sim.backends.memory_backend import MemoryBackend
from qemu_sim.errors import QMPError
from qemu_sim.machine.cpu_properties import has_cpus

if TYPE_CHECKING:
    from qemu_sim.machine.hmat import Hmat
    from qemu_sim.machine.machine import Machine

_MOST = 128  # MAX_NODES
_NEAREST = 10  # NUMA_DISTANCE_MIN
_IDS = ("thread-id", "core-id", "module-id", "cluster-id", "socket-id", "die-id")
_NO_HMAT = (
    "ACPI Heterogeneous Memory Attribute Table (HMAT) is disabled, enable it with "
    "-machine hmat=on before using any of hmat specific options"
)
_log = logging.getLogger(__name__)

Options = dict[str, Any]


class NumaNode:
    """One node. `initiator` is the node whose CPUs use its memory first, if that is known."""

    def __init__(self, memory: int, backend: MemoryBackend | None, initiator: int | None) -> None:
        """`memory` is in bytes."""
        self.memory = memory
        self.backend = backend
        self.initiator = initiator
        self.has_cpu = False
        self.distances: dict[int, int] = {}


class Numa:
    """The nodes by number, as far as they are described."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.nodes: dict[int, NumaNode] = {}

    @cached_property
    def hmat(self) -> Hmat:
        """What is said about latencies, bandwidths and caches."""
        from qemu_sim.machine.hmat import Hmat  # noqa: PLC0415 - rarely said

        return Hmat(self)

    @property
    def backends(self) -> list[MemoryBackend]:
        """The backends of RAM, in the order of their nodes."""
        ordered = (self.nodes[number].backend for number in sorted(self.nodes))
        return [backend for backend in ordered if backend is not None]

    def apply(self, options: Options) -> None:
        """Take one NumaOptions. Raises QMPError in QEMU's words."""
        if not has_cpus(self._machine):
            raise QMPError("NUMA is not supported by this machine-type")
        kind = options["type"]
        if kind.startswith("hmat") and not self._uses_hmat:
            raise QMPError(_NO_HMAT)
        if kind == "hmat-lb":
            self.hmat.add_latency_or_bandwidth(options)
        elif kind == "hmat-cache":
            self.hmat.add_cache(options)
        else:
            by_kind = {"node": self._add_node, "dist": self._set_distance, "cpu": self._add_cpus}
            by_kind[kind](options)

    def complete(self) -> None:
        """Give every CPU a node, and check the whole. Raises QMPError in QEMU's words."""
        for number in reversed(range(max(self.nodes, default=-1))):
            if number not in self.nodes:
                raise QMPError(f"numa: Node ID missing: {number}")
        total = sum(node.memory for node in self.nodes.values())
        size = self._machine.options.memory_size
        if total != size:
            raise QMPError(
                f"total memory for NUMA nodes ({total:#x}) should equal RAM size ({size:#x})"
            )
        if self.backends and self._machine.options.memory_backend is not None:
            raise QMPError(
                "'-machine memory-backend' and '-numa memdev' properties are mutually exclusive"
            )
        self._check_distances()
        self._place_others()

    @property
    def _uses_hmat(self) -> bool:
        return bool(self._machine.options.properties.get("hmat"))

    # Nodes.

    def _add_node(self, options: Options) -> None:
        number = options.get("nodeid", len(self.nodes))
        if number >= _MOST:
            raise QMPError(f"Max number of NUMA nodes reached: {number}")
        if number in self.nodes:
            raise QMPError(f"Duplicate NUMA nodeid: {number}")
        initiator = options.get("initiator")
        if initiator is not None and not self._uses_hmat:
            raise QMPError(_NO_HMAT)
        if initiator is not None and initiator >= _MOST:
            raise QMPError(
                f"The initiator id {initiator} expects an integer between 0 and {_MOST - 1}"
            )
        node = NumaNode(0, None, initiator)
        self._place(self._by_number(options.get("cpus", ())), number, node)
        self._give_memory(node, options)
        self.nodes[number] = node

    def _give_memory(self, node: NumaNode, options: Options) -> None:
        if "mem" in options and ("memdev" in options or self.backends):
            raise QMPError(
                "numa configuration should use either mem= or memdev=,mixing both is not allowed"
            )
        if "mem" in options:
            # Only machine types of before 5.1 take it, none of which the profiles have.
            raise QMPError(
                "Parameter -numa node,mem is not supported by this machine type\n"
                "Use -numa node,memdev instead"
            )
        if "memdev" in options:
            backend = self._machine.board.objects.get(options["memdev"])
            if not isinstance(backend, MemoryBackend):
                raise QMPError(f"memdev={options['memdev']} is ambiguous")
            node.backend, node.memory = backend, backend.memory.size

    def _set_distance(self, options: Options) -> None:
        source, target, value = options["src"], options["dst"], options["val"]
        for name in ("src", "dst"):
            if options[name] >= _MOST:
                raise QMPError(f"Parameter '{name}' expects an integer between 0 and {_MOST - 1}")
        if source not in self.nodes or target not in self.nodes:
            raise QMPError(
                "Source/Destination NUMA node is missing. "
                "Please use '-numa node' option to declare it first."
            )
        if value < _NEAREST:
            raise QMPError(
                f"NUMA distance ({value}) is invalid, it shouldn't be less than {_NEAREST}."
            )
        if source == target and value != _NEAREST:
            raise QMPError(f"Local distance of node {source} should be {_NEAREST}.")
        self.nodes[source].distances[target] = value

    def _check_distances(self) -> None:
        known = {
            (source, target): value
            for source, node in self.nodes.items()
            for target, value in node.distances.items()
        }
        if not known:
            return
        pairs = [(one, other) for one in self.nodes for other in self.nodes if one < other]
        for one, other in sorted(pairs):
            if (one, other) not in known and (other, one) not in known:
                raise QMPError(
                    f"The distance between node {one} and {other} is missing, at least one "
                    "distance value between each nodes should be provided."
                )
        ways = [(known.get(pair), known.get(pair[::-1])) for pair in pairs]
        if any(None not in way and way[0] != way[1] for way in ways) and any(
            None in way for way in ways
        ):
            raise QMPError(
                "At least one asymmetrical pair of distances is given, please provide distances "
                "for both directions of all node pairs."
            )

    # CPUs.

    def _add_cpus(self, options: Options) -> None:
        if "node-id" not in options:
            raise QMPError("Missing mandatory node-id property")
        number = options["node-id"]
        if number not in self.nodes:
            raise QMPError(
                f"Invalid node-id={number}, NUMA node must be defined with -numa node,nodeid=ID "
                "before it's used with -numa cpu,node-id=ID"
            )
        wanted = {name: options[name] for name in _IDS if name in options}
        possible = self._machine.cpus.possible()
        for name in wanted:
            if name not in possible[0].properties:
                raise QMPError(f"{name} is not supported")
        found = [cpu.number for cpu in possible if wanted.items() <= cpu.properties.items()]
        if not found:
            raise QMPError("no match found")
        self._place(found, number, self.nodes[number])

    def _by_number(self, numbers: Iterable[int]) -> list[int]:
        most = self._machine.options.topology.maxcpus
        for number in numbers:
            if number >= most:
                raise QMPError(f"CPU index ({number}) should be smaller than maxcpus ({most})")
        return list(numbers)

    def _place(self, cpus: Iterable[int], number: int, node: NumaNode) -> None:
        placed = self._machine.cpus.nodes
        for cpu in cpus:
            if placed.get(cpu, number) != number:
                raise QMPError(f"CPU is already assigned to node-id: {placed[cpu]}")
            placed[cpu] = number
            if self._uses_hmat:
                if node.initiator not in (None, number):
                    raise QMPError(
                        f"The initiator of CPU NUMA node {number} should be itself "
                        f"(got {node.initiator})"
                    )
                node.has_cpu, node.initiator = True, number

    def _place_others(self) -> None:
        """By default each socket has a node; once some CPUs are placed, the others are in 0."""
        cpus = self._machine.cpus
        others = [cpu for cpu in cpus.possible() if cpu.number not in cpus.nodes]
        partly = bool(cpus.nodes)
        for cpu in others:
            number = 0 if partly else cpu.properties["socket-id"] % len(self.nodes)
            self._place([cpu.number], number, self.nodes[number])
        if self._uses_hmat:
            self._check_initiators()
        if partly and others and self._machine.options.accelerator != "qtest":
            spoken = ", ".join(f"CPU {cpu.number} [{_spoken(cpu.properties)}]" for cpu in others)
            _log.warning("CPU(s) not present in any NUMA nodes: %s", spoken)
            _log.warning(
                "All CPU(s) up to maxcpus should be described in NUMA config, ability to start up "
                "with partial NUMA mappings is obsoleted and will be removed in future"
            )

    def _check_initiators(self) -> None:
        for number, node in sorted(self.nodes.items()):
            if node.initiator is None:
                continue
            if node.initiator not in self.nodes:
                raise QMPError(
                    f"NUMA node {node.initiator} is missing, use '-numa node' option to declare "
                    "it first"
                )
            if not self.nodes[node.initiator].has_cpu:
                raise QMPError(f"The initiator of NUMA node {number} is invalid")


def _spoken(place: dict[str, int]) -> str:
    order = ("socket-id", "die-id", "module-id", "core-id", "thread-id")
    return ", ".join(f"{name}: {place[name]}" for name in order if name in place)
