"""The NICs of a board under the names of QEMU's net clients.

QEMU: net/net.c (assign_name, qemu_find_net_clients_except)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.errors import DeviceNotFound

if TYPE_CHECKING:
    from qemu_sim.devices.virtio_net_pci import VirtioNetPCI
    from qemu_sim.machine.board import Board


def nics(board: Board) -> dict[str, VirtioNetPCI]:
    """Return the NICs by name: the ID, else the type and how many there are before it."""
    from qemu_sim.devices.virtio_net_pci import (  # noqa: PLC0415 - with the guest's whole network
        VirtioNetPCI,
    )

    found = [device for device in board.devices if isinstance(device, VirtioNetPCI)]
    return {each.id or f"{each.TYPE}.{number}": each for number, each in enumerate(found)}


def set_link(board: Board, name: str, up: bool) -> None:
    """Plug or pull the cable of a NIC, or of a netdev and its NIC. Raises DeviceNotFound."""
    if name in board.netdevs:
        board.netdevs[name].link_up = up
        named = [nic for nic in nics(board).values() if nic.properties.get("netdev") == name]
    elif name in nics(board):
        named = [nics(board)[name]]
    else:
        raise DeviceNotFound(f"Device '{name}' not found")
    for nic in named:
        nic.set_link(up)


def announce(board: Board, names: list[str] | None) -> None:
    """Let the NICs of these names tell where they are, all of them where None."""
    for name, nic in nics(board).items():
        if names is None or name in names:
            nic.announce()
