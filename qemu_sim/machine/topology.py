"""How many CPUs a machine has, and in what sockets, dies, modules, cores and threads.

QEMU: hw/core/machine-smp.c (machine_parse_smp_config)
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from qemu_sim.errors import QMPError
from qemu_sim.qapi.keyval import parse_integer

Version = tuple[int, int, int]

# From the outermost to the innermost. Only PC machines have dies and modules.
_PC_LEVELS = ("sockets", "dies", "modules", "cores", "threads")
_PLAIN_LEVELS = ("sockets", "cores", "threads")
_ALL_LEVELS = ("drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads")
_SINCE = {"drawers": (8, 2, 0), "books": (8, 2, 0), "modules": (9, 1, 0)}
# Cores, sockets and threads can be computed; these are one unless it is said.
_UNSAID = {"dies": 1, "modules": 1}
_INT32 = 1 << 31


class Topology(NamedTuple):
    """CPUs present and possible, and how many there are of each level in the one above."""

    cpus: int
    maxcpus: int
    levels: dict[str, int]

    def to_qapi(self, version: Version) -> dict[str, int]:
        """Return the SMPConfiguration that a QEMU of this version shows."""
        counts = {level: self.levels.get(level, 1) for level in _levels_of(version)}
        return {"cpus": self.cpus, "maxcpus": self.maxcpus, **counts}


def topology(
    smp: Mapping[str, str], machine: str, most: int, version: Version = (11, 1, 0)
) -> Topology:
    """Return what the texts of -smp mean for `machine`, which takes at most `most` CPUs.

    Raises QMPError in QEMU's words. What is not given is computed: cores first, then
    sockets, then threads.
    """
    known = _levels_of(version)
    given = _read(smp, ("cpus", *known, "maxcpus"))
    levels_here = _PC_LEVELS if machine.startswith(("pc-", "isapc")) else _PLAIN_LEVELS
    supported = [level for level in levels_here if level in known]
    for level in known:
        if level not in supported and given.get(level, 1) > 1:
            more_than_one = " > 1" if "modules" in known else ""
            raise QMPError(f"{level}{more_than_one} not supported by this machine's CPU topology")
    levels = {level: given.get(level, _UNSAID.get(level, 0)) for level in supported}
    cpus, maxcpus = _fill(levels, given.get("cpus", 0), given.get("maxcpus", 0))
    _check(levels, cpus, maxcpus)
    if not 0 < maxcpus <= most:
        raise QMPError(
            f"Invalid SMP CPUs {maxcpus}. The max CPUs supported by machine '{machine}' is {most}"
        )
    return Topology(cpus, maxcpus, levels)


def _levels_of(version: Version) -> list[str]:
    return [level for level in _ALL_LEVELS if version >= _SINCE.get(level, version)]


def _read(smp: Mapping[str, str], known: Collection[str]) -> dict[str, int]:
    given = {}
    for key, text in smp.items():
        if key not in known:
            raise QMPError(f"Parameter 'smp.{key}' is unexpected")
        given[key] = parse_integer(f"smp.{key}", text)
    if 0 in given.values():
        raise QMPError("Invalid CPU topology: CPU topology parameters must be greater than zero")
    # QEMU keeps them as C's unsigned, and prints them as int.
    return {key: (value + _INT32) % (2 * _INT32) - _INT32 for key, value in given.items()}


def _fill(levels: dict[str, int], cpus: int, maxcpus: int) -> tuple[int, int]:
    """Compute the levels that are 0, in place; return the CPUs present and possible."""
    wanted = maxcpus or cpus
    if not wanted or not levels["cores"]:
        _default(levels, ("sockets", "threads"))
    elif not levels["sockets"]:
        _default(levels, ("threads",))
    missing = next((name for name in ("cores", "sockets", "threads") if not levels[name]), None)
    if missing is not None:
        _default(levels, (missing,))
        if wanted:
            levels[missing] = wanted // _product(levels)
    maxcpus = wanted or _product(levels)
    return cpus or maxcpus, maxcpus


def _default(levels: dict[str, int], names: tuple[str, ...]) -> None:
    for name in names:
        levels[name] = levels[name] or 1


def _product(levels: Mapping[str, int]) -> int:
    product = 1
    for count in levels.values():
        product *= count
    return product


def _check(levels: Mapping[str, int], cpus: int, maxcpus: int) -> None:
    product = " * ".join(f"{level} ({count})" for level, count in levels.items())
    if _product(levels) != maxcpus:
        raise QMPError(
            "Invalid CPU topology: product of the hierarchy must match maxcpus: "
            f"{product} != maxcpus ({maxcpus})"
        )
    if maxcpus < cpus:
        raise QMPError(
            "Invalid CPU topology: maxcpus must be equal to or greater than smp: "
            f"{product} == maxcpus ({maxcpus}) < smp_cpus ({cpus})"
        )
