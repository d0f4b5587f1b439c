"""HMP's "info" about what hardly any machine has, and is therefore quickly told.

QEMU: hw/net/rocker/rocker-hmp-cmds.c, hw/virtio/virtio-hmp-cmds.c, monitor/hmp-cmds.c,
stats/stats-hmp-cmds.c, net/slirp.c, system/dirtylimit.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.netdev_user import NetdevUser
from qemu_sim.commands.hmp.table import Session, hmp
from qemu_sim.errors import QMPError

# HMP name, QMP name. What these print of a thing that is there is not simulated.
_MOSTLY_ERRORS = {
    "info firmware-log": "query-firmware-log",
    "info rocker": "query-rocker",
    "info rocker-of-dpa-flows": "query-rocker-of-dpa-flows",
    "info rocker-of-dpa-groups": "query-rocker-of-dpa-groups",
    "info rocker-ports": "query-rocker-ports",
    "info virtio-queue-element": "x-query-virtio-queue-element",
    "info virtio-vhost-queue-status": "x-query-virtio-vhost-queue-status",
    "xen-event-list": "xen-event-list",
}
_CONNECTIONS = "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ"
_TARGETS = ("vm", "vcpu")
_NEWER = (8, 0, 0)  # than 7.2


def _mostly_error(name: str, command: str) -> None:
    @hmp(name)
    async def run(session: Session, **arguments: Any) -> str:
        await session.execute(command, **arguments)
        raise QMPError(f"not simulated by qemu-sim: {name}")


for _name, _command in _MOSTLY_ERRORS.items():
    _mostly_error(_name, _command)


@hmp("info accelerators")
async def accelerators(session: Session) -> str:
    """Print the accelerators there could be; the one in use stands in brackets."""
    found = await session.execute("query-accelerators")
    names = [f"[{each}]" if each == found["enabled"] else each for each in found["present"]]
    return f"{' '.join(names)}\n"


@hmp("info stats")
async def stats(session: Session, target: str, **which: str) -> str:
    """Print statistics: an idle machine has none but those of KVM."""
    del which
    newer = session.machine.profile.version >= _NEWER
    if target not in _TARGETS and not (newer and target == "cryptodev"):
        return f"invalid stats target {target}\n"
    if await session.execute("query-stats", target=target):
        raise QMPError("not simulated by qemu-sim: info stats")
    return ""


@hmp("info usernet")
def usernet(session: Session) -> str:
    """Print the connections of user networks."""
    lines = []
    for netdev in session.machine.board.netdevs.values():
        if isinstance(netdev, NetdevUser):
            lines += [f"Hub -1 ({netdev.id}):", _CONNECTIONS, *netdev.connections]
    return "".join(f"{line}\n" for line in lines)


@hmp("info vcpu_dirty_limit")
def vcpu_dirty_limit(_session: Session) -> str:
    """Print the limits of CPUs: there can be none."""
    return "Dirty page limit not enabled!\n"
