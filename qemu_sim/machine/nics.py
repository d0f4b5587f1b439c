"""The NICs of a board under the names of QEMU's net clients.

QEMU: net/net.c (assign_name, qemu_find_net_clients_except)
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qemu_sim.errors import DeviceNotFound

if TYPE_CHECKING:
    from qemu_sim.devices.network_device import NetworkDevice
    from qemu_sim.machine.board import Board


def nics(board: Board) -> dict[str, NetworkDevice]:
    """Return the NICs by name: the ID, else the type and how many of it are before."""
    from qemu_sim.devices.network_device import NetworkDevice  # noqa: PLC0415 - not at a start

    counts: Counter[str] = Counter()
    found = {}
    for device in board.devices:
        if isinstance(device, NetworkDevice):
            found[device.id or f"{device.TYPE}.{counts[device.TYPE]}"] = device
            counts[device.TYPE] += 1
    return found


def set_link(board: Board, name: str, up: bool) -> None:
    """Plug or pull the cable of a NIC, or of a netdev and its NIC. Raises DeviceNotFound."""
    if name in board.netdevs:
        board.netdevs[name].link_up = up
        named = [nic for nic in nics(board).values() if nic.netdev_id == name]
    elif name in nics(board):
        named = [nics(board)[name]]
    else:
        raise DeviceNotFound(f"Device '{name}' not found")
    for nic in named:
        nic.set_link(up)


def unwire(board: Board, netdev: str) -> None:
    """Have the NIC on a netdev go without, with its link down."""
    for nic in nics(board).values():
        if nic.netdev_id == netdev:
            nic.unwire()


def announce(board: Board, names: list[str] | None) -> None:
    """Let the NICs of these names tell where they are, all of them where None."""
    for name, nic in nics(board).items():
        if names is None or name in names:
            nic.announce()
