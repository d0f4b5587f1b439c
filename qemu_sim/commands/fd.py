"""Descriptors that a client passes in.

QEMU: qapi/misc.json, monitor/fds.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import Monitor, command
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.fds import Fd
    from qemu_sim.machine.machine import Machine


@command("getfd", monitor=True)
def getfd(_: Machine, monitor: Monitor, *, fdname: str) -> None:
    """Name the descriptor that came with the command; an older one of that name is closed."""
    fd = _taken(monitor)
    if fdname[:1].isdigit():
        fd.close()
        raise QMPError("Parameter 'fdname' expects a name not starting with a digit")
    old = monitor.named_fds.pop(fdname, None)
    if old is not None:
        old.close()
    monitor.named_fds[fdname] = fd


@command("closefd", monitor=True)
def closefd(_: Machine, monitor: Monitor, *, fdname: str) -> None:
    """Close a descriptor that `getfd` named."""
    fd = monitor.named_fds.pop(fdname, None)
    if fd is None:
        raise QMPError(f"File descriptor named '{fdname}' not found")
    fd.close()


@command("add-fd", monitor=True)
def add_fd(
    machine: Machine, monitor: Monitor, *, fdset_id: int | None = None, opaque: str | None = None
) -> dict[str, int]:
    """Put the descriptor that came with the command into a set."""
    return machine.fdsets.add(_taken(monitor), fdset_id, opaque)


@command("remove-fd")
def remove_fd(machine: Machine, *, fdset_id: int, fd: int | None = None) -> None:
    """Take one descriptor, or all, out of a set."""
    machine.fdsets.remove(fdset_id, fd)


@command("query-fdsets")
def query_fdsets(machine: Machine) -> list[dict[str, Any]]:
    """Return all sets."""
    return machine.fdsets.query()


def _taken(monitor: Monitor) -> Fd:
    fd = monitor.take_fd()
    if fd is None:
        raise QMPError("No file descriptor supplied via SCM_RIGHTS")
    return fd
