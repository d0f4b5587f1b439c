"""Measure how fast guest memory changes.

QEMU: qapi/migration.json, migration/dirtyrate.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_HAS_UNITS = (8, 2, 0)
_UNITS = {"second": 1000, "millisecond": 1}  # in milliseconds
_SHORTEST, _LONGEST = 50, 60_000  # milliseconds


@command("calc-dirty-rate")
def calc_dirty_rate(
    machine: Machine,
    *,
    calc_time: int,
    calc_time_unit: str = "second",
    sample_pages: int | None = None,
    mode: str = "page-sampling",
) -> None:
    """Begin to measure; query-dirty-rate tells when it is done."""
    machine.dirty_rate.check_idle()
    period = calc_time * _UNITS[calc_time_unit]
    if not _SHORTEST <= period <= _LONGEST:
        if machine.profile.version < _HAS_UNITS:
            raise QMPError(f"calc-time is out of range[1, {_LONGEST // 1000}].")
        raise QMPError(f"Calculation time is out of range [{_SHORTEST}ms, {_LONGEST}ms].")
    machine.dirty_rate.start(period, mode, sample_pages)


@command("query-dirty-rate")
def query_dirty_rate(machine: Machine, *, calc_time_unit: str = "second") -> dict[str, Any]:
    """Return the last measurement, or that one is under way."""
    found = machine.dirty_rate.query(_UNITS[calc_time_unit])
    if machine.profile.version >= _HAS_UNITS:
        found["calc-time-unit"] = calc_time_unit
    return found
