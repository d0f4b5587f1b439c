"""Chardevs.

QEMU: qapi/char.json, chardev/char.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import Monitor, command, named_fds
from qemu_sim.errors import QMPError
from qemu_sim.fds import close_all
from qemu_sim.qapi.glib_order import ordered

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
    machine.board.check_chardev(backend["type"], id)
    fds = []
    try:
        fds = named_fds(monitor, name)
        await machine.board.add_chardev(backend["type"], id, options, fds)
    except QMPError as error:
        close_all(fds)
        raise QMPError(f"Failed to add chardev '{id}': {error}") from None
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
    """Return all chardevs, in the order of QEMU's table of them."""
    chardevs = machine.board.chardevs
    return [
        {
            "label": chardev.id,
            "filename": chardev.filename,
            "frontend-open": not chardev.quiet and machine.board.is_claimed("chardev", chardev.id),
        }
        for chardev in (chardevs[id] for id in reversed(ordered(chardevs)))
    ]
