"""NUMA nodes.

QEMU: qapi/machine.json, hw/core/machine-qmp-cmds.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError
from qemu_sim.machine.memory_slots import dimms

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_MIB = 20


@command("set-numa-node", raw=True)
def set_numa_node(machine: Machine, arguments: dict[str, Any]) -> None:
    """Describe a node, or what belongs to one, before the machine is initialized."""
    if machine.is_initialized:
        raise QMPError("The command is permitted only before the machine has been created")
    machine.numa.apply(arguments)


@command("x-query-numa")
def x_query_numa(machine: Machine) -> dict[str, str]:
    """Return the nodes with their CPUs and RAM as text for a person."""
    sizes = _sizes(machine)
    cpus = [cpu for cpu, _ in machine.cpus.present()] if sizes else []
    lines = [f"{len(sizes)} nodes"]
    plugged = dimms(machine)
    for number, size in enumerate(sizes):
        more = sum(dimm.size for dimm in plugged if dimm.node == number)
        here = [cpu.number for cpu in cpus if cpu.properties.get("node-id") == number]
        lines.append(f"node {number} cpus:{''.join(f' {cpu}' for cpu in here)}")
        lines.append(f"node {number} size: {(size + more) >> _MIB} MB")
        lines.append(f"node {number} plugged: {more >> _MIB} MB")
    return {"human-readable-text": "".join(f"{line}\n" for line in lines)}


def _sizes(machine: Machine) -> list[int]:
    """Return the bytes of RAM of each node; memory hotplug makes QEMU create one."""
    if machine.has_numa:
        nodes = machine.numa.nodes
        return [nodes[number].memory for number in sorted(nodes)]
    return [machine.options.memory_size] if machine.cpus.has_implicit_node else []
