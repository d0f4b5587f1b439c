"""What QEMU says at its start of netdevs and NICs that lead nowhere.

QEMU: net/net.c (net_check_clients), net/hub.c (net_hub_check_clients)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qemu_sim.machine.nics import nics

if TYPE_CHECKING:
    from qemu_sim.machine.board import Board

_HUB_PORT = "hubport"


def warnings(board: Board) -> Iterator[str]:
    """Yield a text for each, in QEMU's order."""
    yield from _of_hubs(board)
    for id in board.netdevs:
        if not board.netdevs.is_claimed(id):
            yield f"netdev {id} has no peer"
    yield from _of_nics(board)


def _of_hubs(board: Board) -> Iterator[str]:
    hubs: dict[int, list[str]] = {}
    for id, netdev in board.netdevs.items():
        if netdev.TYPE == _HUB_PORT:
            hubs.setdefault(netdev.options["hubid"], []).append(id)
    for hub, ports in reversed(hubs.items()):
        free = [id for id in reversed(ports) if not board.netdevs.is_claimed(id)]
        for id in free:
            yield f"hub port {id} has no peer"
        if len(free) < len(ports):  # nothing but NICs is on the other side of a port
            yield f"hub {hub} is not connected to host network"


def _of_nics(board: Board) -> Iterator[str]:
    for name, nic in nics(board).items():
        if nic.netdev_id is None:
            yield f"nic {name} has no peer"
