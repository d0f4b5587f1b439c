"""Netdevs.

QEMU: qapi/net.json, net/net.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import Monitor, command, named_fds
from qemu_sim.errors import QMPError
from qemu_sim.fds import close_all
from qemu_sim.machine import nics
from qemu_sim.qapi.opts import check_id

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_VLANS = 4096
_TELLS_FILTER = "virtio-net"


@command("netdev_add", monitor=True, raw=True)
async def netdev_add(machine: Machine, monitor: Monitor, arguments: dict[str, Any]) -> None:
    """Make a netdev. `fd` and `fds` are names given by getfd, separated by colons."""
    options = dict(arguments)
    type, id = options.pop("type"), options.pop("id")
    check_id(id)
    fds = named_fds(monitor, options.get("fd") or options.get("fds") or _named(options))
    try:
        await machine.board.netdevs.add(type, id, options, fds)
    except BaseException:
        close_all(fds)
        raise


def _named(options: dict[str, Any]) -> str | None:
    """Return the name that stands for the socket of a dgram netdev, if it is no number."""
    local = options.get("local", {})
    name: str | None = local.get("str") if local.get("type") == "fd" else None
    return None if name is None or name.isdigit() else name


@command("netdev_del")
def netdev_del(machine: Machine, *, id: str) -> None:
    """Remove a netdev; that of a NIC not in mid-migration, as its descriptors may be under way."""
    if machine.board.netdevs.is_claimed(id) and machine.migration.forbids_plugging:
        raise QMPError(f"removing netdev '{id}' while migrating is not simulated by qemu-sim")
    nics.unwire(machine.board, id)
    machine.board.netdevs.delete(id)


@command("set_link")
def set_link(machine: Machine, *, name: str, up: bool) -> None:
    """Plug or pull the cable of a NIC or netdev; without it frames are lost."""
    nics.set_link(machine.board, name, up)


@command("query-rx-filter")
def query_rx_filter(machine: Machine, *, name: str | None = None) -> list[dict[str, Any]]:
    """Return what each NIC lets through: all, as the guest's driver sets no filter."""
    found = nics.nics(machine.board)
    if name is not None and name not in found:
        if name in machine.board.netdevs:
            raise QMPError(f"net client({name}) isn't a NIC")
        raise QMPError(f"invalid net client name: {name}")
    if name is not None and not found[name].TYPE.startswith(_TELLS_FILTER):
        raise QMPError(f"net client({name}) doesn't support rx-filter querying")
    return [
        {
            "name": each,
            "promiscuous": True,
            "multicast": "normal",
            "unicast": "normal",
            "vlan": "all",
            "broadcast-allowed": False,
            "multicast-overflow": False,
            "unicast-overflow": False,
            "main-mac": nic.mac,
            "vlan-table": list(reversed(range(_VLANS))),
            "unicast-table": [],
            "multicast-table": [],
        }
        for each, nic in found.items()
        if name in (None, each) and nic.TYPE.startswith(_TELLS_FILTER)
    ]


@command("announce-self")
def announce_self(  # noqa: PLR0913  (the QAPI command's own arguments)
    machine: Machine,
    *,
    initial: int,
    max: int,
    rounds: int,
    step: int,
    interfaces: list[str] | None = None,
    id: str = "",
) -> None:
    """Have NICs tell the network where they are, `rounds` times; pauses grow by `step` ms."""
    timing = {"initial": initial, "max": max, "rounds": rounds, "step": step}
    machine.announcements.start(id, interfaces, timing)
