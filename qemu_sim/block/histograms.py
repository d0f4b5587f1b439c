"""Latency histograms of a drive: bins without a request in them, as no guest does I/O here.

QEMU: block/accounting.c (block_latency_histogram_set), block/qapi-system.c
(qmp_block_latency_histogram_set)
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from qemu_sim.errors import QMPError

# In the order in which they are set: argument, what an error calls it, what is shown.
_KINDS = (
    ("boundaries-read", "read", "rd"),
    ("boundaries-write", "write", "wr"),
    ("boundaries-zap", "append write", "zone_append"),
    ("boundaries-flush", "flush", "flush"),
)


class Histograms:
    """The boundaries of each kind, in nanoseconds; those of kinds that are not counted miss."""

    def __init__(self) -> None:
        self._boundaries: dict[str, list[int]] = {}

    def set(self, arguments: dict[str, Any], *, takes_none: bool) -> None:
        """Count from now on as block-latency-histogram-set asks for.

        `takes_none`: an empty list of boundaries makes one bin, as in older versions. Raises
        QMPError in QEMU's words; what was set before the mistake stays.
        """
        common = arguments.get("boundaries")
        if not any(name.startswith("boundaries") for name in arguments):
            self._boundaries.clear()
        for name, called, shown in _KINDS:
            given = arguments.get(name, common)
            if given is None:
                continue
            rises = all(low < high for low, high in pairwise([0, *given]))
            if not rises or not (given or takes_none):
                raise QMPError(f"Device '{arguments['id']}' set {called} boundaries fail")
            self._boundaries[shown] = given

    def to_qapi(self) -> dict[str, Any]:
        """Return members of BlockDeviceStats."""
        return {
            f"{shown}_latency_histogram": {
                "boundaries": boundaries,
                "bins": [0] * (len(boundaries) + 1),
            }
            for shown, boundaries in self._boundaries.items()
        }
