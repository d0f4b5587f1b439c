"""Netdevs.

QEMU: qapi/net.json, net/net.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import Monitor, command, named_fds
from qemu_sim.fds import close_all

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("netdev_add", monitor=True, raw=True)
async def netdev_add(machine: Machine, monitor: Monitor, arguments: dict[str, Any]) -> None:
    """Make a netdev. `fd` and `fds` are names given by getfd, separated by colons."""
    options = dict(arguments)
    type, id = options.pop("type"), options.pop("id")
    fds = named_fds(monitor, options.get("fd") or options.get("fds"))
    try:
        await machine.board.add_netdev(type, id, options, fds)
    except BaseException:
        close_all(fds)
        raise


@command("netdev_del")
def netdev_del(machine: Machine, *, id: str) -> None:
    """Remove a netdev."""
    machine.board.delete_netdev(id)
