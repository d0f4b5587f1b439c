"""A line of the human monitor, sent over QMP.

QEMU: qapi/misc.json, monitor/qmp-cmds.c (qmp_human_monitor_command)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.commands.registry import Monitor, command
from qemu_sim.errors import QMPError
from qemu_sim.machine.cpu_properties import has_cpus

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("human-monitor-command", monitor=True)
async def human_monitor_command(
    machine: Machine, monitor: Monitor, *, command_line: str, cpu_index: int | None = None
) -> str:
    """Return what the line prints; what goes wrong in it is printed, too."""
    from qemu_sim.commands.hmp import table  # noqa: PLC0415 - only for who uses HMP

    count = machine.options.topology.cpus if has_cpus(machine) else 0
    if cpu_index is not None and not 0 <= cpu_index < count:
        raise QMPError("Parameter 'cpu-index' expects a CPU number")
    printed = await table.run(machine, monitor, command_line)
    return printed.replace("\n", "\r\n")
