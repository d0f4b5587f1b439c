"""Guest memory in a file, for a debugger.

QEMU: qapi/dump.json, dump/dump.c
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import Monitor, command, named_fds
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.host_path import host_path
from qemu_sim.machine.core_dump import Range
from qemu_sim.machine.cpu_properties import cpu_values, has_cpus

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_NEWER = (11, 0)
_ABSENT = ("lzo", "snappy")  # Debian's QEMU is built without the libraries
_WHOLE = Range()
_MODE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


@command("dump-guest-memory", monitor=True, raw=True)
async def dump_guest_memory(machine: Machine, monitor: Monitor, arguments: dict[str, Any]) -> None:
    """Write guest memory, and where each CPU is, as an ELF core."""
    machine.core_dump.check()
    wanted = _range(arguments)
    _check_format(arguments, machine.version)
    fd = _open(machine, monitor, arguments["protocol"])
    machine.core_dump.start(fd, wanted, *_cpus(machine))
    if not arguments.get("detach", False):
        await machine.core_dump.wait()


@command("query-dump")
def query_dump(machine: Machine) -> dict[str, Any]:
    """Return how far the last dump is."""
    return machine.core_dump.to_qapi()


def _range(arguments: dict[str, Any]) -> Range:
    """Return what is wanted. Raises QMPError in QEMU's words."""
    for one, other in (("begin", "length"), ("length", "begin")):
        if one in arguments and other not in arguments:
            raise QMPError(f"Parameter '{other}' is missing")
    if "begin" not in arguments:
        return _WHOLE
    return Range(arguments["begin"], arguments["length"])


def _check_format(arguments: dict[str, Any], version: tuple[int, int, int]) -> None:
    kind = arguments.get("format", "elf")
    if kind == "elf":
        return
    if arguments["paging"] or "begin" in arguments:
        raise QMPError("kdump-compressed format doesn't support paging or filter")
    compression = kind.rpartition("-")[2]
    if compression in _ABSENT:
        raise QMPError(f"kdump-{compression} is not available now")
    if kind == "win-dmp" and version >= _NEWER:
        raise QMPError("win-dump: no vmcoreinfo note from the guest")
    raise QMPError(f"a dump as {kind} is not simulated by qemu-sim")


def _open(machine: Machine, monitor: Monitor, protocol: str) -> Fd:
    kind, colon, name = protocol.partition(":")
    if not colon or kind not in ("file", "fd"):
        if machine.version >= _NEWER:
            raise QMPError("parameter 'protocol' must start with 'file:' or 'fd:'")
        raise QMPError("Invalid parameter 'protocol'")
    if kind == "fd":
        found = named_fds(monitor, name)
        if not found:
            raise QMPError(f"File descriptor named '{name}' has not been found")
        return found[0]
    try:
        return Fd(os.open(host_path(name), _MODE, 0o400))
    except OSError as error:
        verb = "create" if machine.version >= _NEWER else "open"
        raise QMPError(f"Could not {verb} '{name}': {error.strerror}") from None


def _cpus(machine: Machine) -> tuple[int, int]:
    """Return how many CPUs there are, and what CPUID says of their model."""
    if not has_cpus(machine):
        return 0, 0
    present = machine.cpus.present()
    values = cpu_values(machine, present[0][0])
    family, model, stepping = (values.get(key, 0) for key in ("family", "model", "stepping"))
    signature = stepping | (model & 15) << 4 | min(family, 15) << 8
    return len(present), signature | (model >> 4) << 16 | max(family - 15, 0) << 20
