"""How fast the memory of NUMA nodes is, and what caches are before it. Only checked: no guest asks.

QEMU: hw/core/numa.c (parse_numa_hmat_lb, parse_numa_hmat_cache)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.machine.numa import Numa

_MIB = 1 << 20
_UINT16_MAX = 0xFFFF
_UINT64_MAX = (1 << 64) - 1
_LEVELS = 4  # HMAT_LB_LEVELS

Options = dict[str, Any]


class _Range(NamedTuple):
    """The unit in which a table's entries are kept, and what they need at most."""

    base: int = 0
    used: int = 0


class Hmat:
    """What was said so far about one machine's nodes."""

    def __init__(self, numa: Numa) -> None:
        self._numa = numa
        self._entries: set[tuple[str, str, int, int]] = set()
        self._ranges: dict[tuple[str, str], _Range] = {}
        self._known: dict[str, set[int]] = {"latency": set(), "bandwidth": set()}
        self._caches: dict[tuple[int, int], int] = {}  # sizes by node and level

    def add_latency_or_bandwidth(self, options: Options) -> None:
        """Take one NumaHmatLBOptions. Raises QMPError in QEMU's words."""
        initiator, target = options["initiator"], options["target"]
        self._check_nodes(initiator, target)
        what = "latency" if options["data-type"].endswith("latency") else "bandwidth"
        other = "bandwidth" if what == "latency" else "latency"
        if what not in options:
            raise QMPError(f"Missing '{what}' option")
        if other in options:
            raise QMPError(f"Invalid option '{other}' since the data type is {what}")
        value = options[what]
        between = f"between initiator={initiator} and target={target}"
        if what == "bandwidth" and value % _MIB:
            raise QMPError(f"Bandwidth {value} {between} should be 1MB aligned")
        table = (options["hierarchy"], options["data-type"])
        if (*table, initiator, target) in self._entries:
            raise QMPError(
                f"Duplicate configuration of the {what} for initiator={initiator} "
                f"and target={target}"
            )
        if value:
            widen = _latency if what == "latency" else _bandwidth
            self._ranges[table] = widen(self._ranges.get(table, _Range()), value, between)
            self._known[what].add(target)
        self._entries.add((*table, initiator, target))

    def _check_nodes(self, initiator: int, target: int) -> None:
        nodes = self._numa.nodes
        for name, number in (("initiator", initiator), ("target", target)):
            if number > len(nodes):
                raise QMPError(f"Invalid {name}={number}, it should be less than {len(nodes)}")
        if initiator not in nodes or not nodes[initiator].has_cpu:
            raise QMPError(f"Invalid initiator={initiator}, it isn't an initiator proximity domain")
        if target not in nodes:
            raise QMPError(f"The target={target} should point to an existing node")

    def add_cache(self, options: Options) -> None:
        """Take one NumaHmatCacheOptions. Raises QMPError in QEMU's words."""
        node, level, size = options["node-id"], options["level"], options["size"]
        count = len(self._numa.nodes)
        if node >= count:
            raise QMPError(f"Invalid node-id={node}, it should be less than {count}")
        if not all(node in known for known in self._known.values()):
            raise QMPError(
                f"The latency and bandwidth information of node-id={node} should be provided "
                "before memory side cache attributes"
            )
        if not 1 <= level < _LEVELS:
            raise QMPError(
                f"Invalid level={level}, it should be larger than 0 and less than or equal to "
                f"{_LEVELS - 1}"
            )
        if (node, level) in self._caches:
            raise QMPError(
                f"Duplicate configuration of the side cache for node-id={node} and level={level}"
            )
        self._check_sizes(node, level, size)
        self._caches[node, level] = size

    def _check_sizes(self, node: int, level: int, size: int) -> None:
        inner, outer = (self._caches.get((node, level + step)) for step in (-1, 1))
        if level > 1 and inner is None:
            raise QMPError(f"Cache level={level - 1} shall be defined first")
        text = f"Invalid size={size}, the size of level={level} should be"
        if inner is not None and size <= inner:
            raise QMPError(f"{text} larger than the size({inner}) of level={level - 1}")
        if outer is not None and size >= outer:
            raise QMPError(f"{text} less than the size({outer}) of level={level + 1}")


def _latency(known: _Range, value: int, between: str) -> _Range:
    """Return the range with `value` in it: the unit is a power of ten."""
    base, rest = 1, value
    while rest % 10 == 0:
        rest, base = rest // 10, base * 10
    before = known.base or _UINT64_MAX
    most = max(known.used, value // before)
    if most >= _UINT16_MAX:
        raise QMPError(
            f"Latency {value} {between} should not differ from previously entered min or max "
            f"values on more than {_UINT16_MAX - 1}"
        )
    return _Range(min(before, base), most)


def _bandwidth(known: _Range, value: int, between: str) -> _Range:
    """Return the range with `value` in it: the unit is a power of two."""
    bits = known.used | value
    base = bits & -bits
    if bits.bit_length() - base.bit_length() + 1 > 16 or value // base >= _UINT16_MAX:  # noqa: PLR2004
        raise QMPError(
            f"Bandwidth {value} {between} should not differ from previously entered values on "
            f"more than {_UINT16_MAX - 1}"
        )
    return _Range(base, bits)
