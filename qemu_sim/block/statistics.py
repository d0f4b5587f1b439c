"""What query-blockstats says. No guest does I/O here, so what counts its requests is zero.

QEMU: block/qapi.c (bdrv_query_bds_stats, bdrv_query_blk_stats)
"""

from __future__ import annotations

from typing import Any

from qemu_sim.block.driver_file import DriverFile
from qemu_sim.block.histograms import Histograms
from qemu_sim.block.node import Node

_KINDS = ("rd", "wr", "unmap", "flush", "zone_append")
_ZERO = {
    "wr_highest_offset": 0,
    "timed_stats": [],
    **{f"{kind}_operations": 0 for kind in _KINDS},
    **{f"{kind}_total_time_ns": 0 for kind in _KINDS},
    **{f"failed_{kind}_operations": 0 for kind in _KINDS},
    **{f"invalid_{kind}_operations": 0 for kind in _KINDS},
    **{f"{kind}_bytes": 0 for kind in _KINDS if kind != "flush"},
    **{f"{kind}_merged": 0 for kind in _KINDS if kind != "flush"},
}


def of_node(node: Node, *, below_drive: bool) -> dict[str, Any]:
    """Return the BlockStats of a node and what it stands on."""
    found: dict[str, Any] = {
        "node-name": node.name,
        "stats": {**_counts(node), "account_invalid": False, "account_failed": False},
    }
    if isinstance(node, DriverFile):
        found["driver-specific"] = {"driver": "file", **node.discards}
    if node.CHILD is not None:
        found["parent"] = of_node(node.child, below_drive=below_drive)
    if below_drive and node.backing is not None:
        found["backing"] = of_node(node.backing, below_drive=True)
    return found


def of_drive(node: Node | None, histograms: Histograms) -> dict[str, Any]:
    """Return the BlockStats of a drive, without its names."""
    found = of_node(node, below_drive=True) if node is not None else {}
    counts = {**(_ZERO if node is None else _counts(node)), **histograms.to_qapi()}
    return found | {"stats": {**counts, "account_invalid": True, "account_failed": True}}


def _counts(node: Node) -> dict[str, Any]:
    return {**_ZERO, "wr_highest_offset": node.highest_write}
