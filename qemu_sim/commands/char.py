"""Chardevs.

QEMU: qapi/char.json, chardev/char.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import Monitor, command, named_fds
from qemu_sim.fds import close_all

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("chardev-add", monitor=True)
async def chardev_add(
    machine: Machine, monitor: Monitor, *, id: str, backend: dict[str, Any]
) -> dict[str, Any]:
    """Make a chardev."""
    options = backend.get("data", {})
    address = options.get("addr", {})
    name = address["data"]["str"] if address.get("type") == "fd" else None
    fds = named_fds(monitor, name)
    try:
        await machine.board.add_chardev(backend["type"], id, options, fds)
    except BaseException:
        close_all(fds)
        raise
    return {}


@command("chardev-remove")
def chardev_remove(machine: Machine, *, id: str) -> None:
    """Remove a chardev."""
    machine.board.remove_chardev(id)


@command("query-chardev")
def query_chardev(machine: Machine) -> list[dict[str, Any]]:
    """Return all chardevs."""
    return [
        {
            "label": chardev.id,
            "filename": chardev.filename,
            "frontend-open": machine.board.is_claimed("chardev", chardev.id),
        }
        for chardev in machine.board.chardevs.values()
    ]
