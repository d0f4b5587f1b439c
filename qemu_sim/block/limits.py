"""I/O limits as a client sets them. Without guest I/O they limit nothing.

QEMU: util/throttle.c (throttle_is_valid), blockdev.c (qmp_block_set_io_throttle)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qemu_sim.errors import QMPError

RATES = ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")
_MOST = 1_000_000_000_000_000


def checked(given: Mapping[str, Any]) -> dict[str, int]:
    """Return the limits that are set, empty where there are none. Raises QMPError."""
    limits = {key: value for key, value in given.items() if key.startswith(("bps", "iops"))}
    _check_conflicts(limits)
    if limits.get("iops_size") and not any(limits.get(rate) for rate in RATES[3:]):
        raise QMPError("iops size requires an iops value to be set")
    for rate in RATES:
        _check_rate(limits, rate)
    for rate in RATES:
        if limits.get(f"{rate}_max"):
            limits.setdefault(f"{rate}_max_length", 1)  # seconds
    return limits if any(limits.get(rate) for rate in RATES) else {}


def _check_conflicts(limits: Mapping[str, int]) -> None:
    for total in ("bps", "iops"):
        for suffix in ("", "_max"):
            parts = limits.get(f"{total}_rd{suffix}", 0) or limits.get(f"{total}_wr{suffix}", 0)
            if limits.get(total + suffix, 0) and parts:
                raise QMPError(
                    "bps/iops/max total values and read/write values cannot be used at the "
                    "same time"
                )


def _check_rate(limits: Mapping[str, int], rate: str) -> None:
    average, most = limits.get(rate, 0), limits.get(f"{rate}_max", 0)
    length = limits.get(f"{rate}_max_length", 1)
    if not (0 <= average <= _MOST and 0 <= most <= _MOST):
        raise QMPError(f"bps/iops/max values must be within [0, {_MOST}]")
    if length == 0:
        raise QMPError("the burst length cannot be 0")
    if length > 1 and not most:
        raise QMPError("burst length set without burst rate")
    if most and length > _MOST // most:
        raise QMPError("burst length too high for this burst rate")
    if most and not average:
        raise QMPError("bps_max/iops_max require corresponding bps/iops values")
    if most and most < average:
        raise QMPError("bps_max/iops_max cannot be lower than bps/iops")
