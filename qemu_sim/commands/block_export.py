"""Exports of nodes: there are none, as no server of them is simulated.

QEMU: qapi/block-export.json, block/export/export.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("query-block-exports")
def query_block_exports(_machine: Machine) -> list[dict[str, Any]]:
    """Return nothing: block-export-add is refused."""
    return []
