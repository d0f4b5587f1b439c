"""HMP's "info" about drives, block nodes and jobs.

QEMU: block/monitor/block-hmp-cmds.c
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qemu_sim.commands.hmp.table import Session, hmp
from qemu_sim.errors import QMPError

_LIMITS = ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")
_BURSTS = (*(f"{each}_max" for each in _LIMITS[:3]), *(f"{each}_max" for each in _LIMITS[3:]))
_COUNTERS = (
    *("rd_bytes", "wr_bytes", "rd_operations", "wr_operations", "flush_operations"),
    *("wr_total_time_ns", "rd_total_time_ns", "flush_total_time_ns", "rd_merged", "wr_merged"),
    "idle_time_ns",
)
_TABLE_SINCE = (10, 0, 0)  # after 7.2: statistics are a table


@hmp("info block")
async def block(
    session: Session, device: str | None = None, *, nodes: bool = False, verbose: bool = False
) -> str:
    """Print the drives, or with `nodes` the block nodes; one of them if it is named."""
    drives = [] if nodes else await session.execute("query-block")
    if verbose and (nodes or any("inserted" in each for each in drives)):
        raise QMPError("not simulated by qemu-sim: info block -v")
    found = [_drive(each) for each in drives if device in (None, each["device"])]
    if nodes or (device is not None and not found):
        named = await session.execute("query-named-block-nodes")
        found = [_node(each) for each in named if device in (None, each["node-name"])]
    return "\n".join("".join(f"{line}\n" for line in lines) for lines in found)


def _drive(each: dict[str, Any]) -> list[str]:
    inserted = each.get("inserted", {})
    node = inserted.get("node-name")
    name = each["device"] or node or each.get("qdev") or "<anonymous>"
    if each["device"] and node:
        name += f" ({node})"
    lines = [f"{name}: {_file(inserted) if inserted else '[not inserted]'}"]
    if "qdev" in each:
        lines.append(f"    Attached to:      {each['qdev']}")
    if each.get("io-status", "ok") != "ok":
        lines.append(f"    I/O status:       {each['io-status']}")
    if each["removable"]:
        locked = "locked" if each["locked"] else "not locked"
        tray = "open" if each.get("tray_open") else "closed"
        lines.append(f"    Removable device: {locked}, tray {tray}")
    return [*lines, *(_details(inserted) if inserted else ())]


def _node(each: dict[str, Any]) -> list[str]:
    return [f"{each['node-name']}: {_file(each)}", *_details(each)]


def _file(inserted: dict[str, Any]) -> str:
    states = {"ro": "read-only", "encrypted": "encrypted"}
    said = "".join(f", {word}" for key, word in states.items() if inserted.get(key))
    inactive = "" if inserted.get("active", True) else ", inactive"
    return f"{inserted['file']} ({inserted['drv']}{said}{inactive})"


def _details(inserted: dict[str, Any]) -> Iterator[str]:
    cache = inserted["cache"]
    mode = "writeback" if cache["writeback"] else "writethrough"
    direct = ", direct" if cache["direct"] else ""
    no_flush = ", ignore flushes" if cache["no-flush"] else ""
    yield f"    Cache mode:       {mode}{direct}{no_flush}"
    if "backing_file" in inserted:
        depth = inserted["backing_file_depth"]
        yield f"    Backing file:     {inserted['backing_file']} (chain depth: {depth})"
    if inserted.get("detect_zeroes", "off") != "off":
        yield f"    Detect zeroes:    {inserted['detect_zeroes']}"
    if any(inserted[key] for key in _LIMITS):
        order = (*_LIMITS[:3], *_BURSTS[:3], *_LIMITS[3:], *_BURSTS[3:], "iops_size")
        limits = [f"{key}={inserted.get(key, 0)}" for key in order]
        yield f"    I/O throttling:   {' '.join(limits)} group={inserted.get('group')}"


@hmp("info blockstats")
async def blockstats(session: Session) -> str:
    """Print what each drive has read and written."""
    found = [each for each in await session.execute("query-blockstats") if "device" in each]
    if session.machine.profile.version >= _TABLE_SINCE:
        return "\n".join(_table(each["device"], each["stats"]) for each in found)
    return "".join(_line(each["device"], each["stats"]) for each in found)


def _line(name: str, stats: dict[str, int]) -> str:
    counters = " ".join(f"{key}={stats.get(key, 0)}" for key in _COUNTERS)
    return f"{name}: {counters}\n"


def _table(name: str, stats: dict[str, int]) -> str:
    lines = [
        f"{name}: idle_time_ns={stats.get('idle_time_ns', 0)}",
        f"{'':8}{'bytes':>23}{'operations':>17}{'total_time_ns':>25}{'merged':>11}",
    ]
    for title, key in (("Read:", "rd"), ("Write:", "wr")):
        values = (stats.get(f"{key}_{what}", 0) for what in ("bytes", "operations"))
        volume, operations = values
        time, merged = stats.get(f"{key}_total_time_ns", 0), stats.get(f"{key}_merged", 0)
        lines.append(f"{title:8}{volume:23}{operations:17}{time:25}{merged:11}")
    operations, time = stats.get("flush_operations", 0), stats.get("flush_total_time_ns", 0)
    lines.append(f"{'Flush:':8}{'':23}{operations:17}{time:25}")
    return "".join(f"{line}\n" for line in lines)


@hmp("info block-jobs")
async def block_jobs(session: Session) -> str:
    """Print how far each job is."""
    lines = []
    for job in await session.execute("query-block-jobs"):
        what = "Streaming device" if job["type"] == "stream" else f"Type {job['type']}, device"
        progress = f"Completed {job['offset']} of {job['len']} bytes"
        lines.append(f"{what} {job['device']}: {progress}, speed limit {job['speed']} bytes/s\n")
    return "".join(lines) or "No active jobs\n"
