"""HMP's "info" about migration: capabilities, parameters, and the dirty rate.

QEMU: migration/migration-hmp-cmds.c, migration/dirtyrate.c
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qemu_sim.commands.hmp.table import Session, hmp

_NEWER = (8, 0, 0)  # than 7.2
# The units that are printed; other numbers have none.
_UNITS = {
    **dict.fromkeys(("announce-initial", "announce-max", "announce-step"), "ms"),
    **dict.fromkeys(("downtime-limit", "x-checkpoint-delay", "x-vcpu-dirty-limit-period"), "ms"),
    "vcpu-dirty-limit": "MB/s",
    "xbzrle-cache-size": "bytes",
    "max-bandwidth": "bytes/second",
}
_NEWER_UNITS = dict.fromkeys(
    ("avail-switchover-bandwidth", "max-postcopy-bandwidth"), "bytes/second"
)
_QUOTED = ("tls-creds", "tls-hostname", "tls-authz")
# In which order they are printed, where the versions have them.
_PARAMETERS = (
    *("announce-initial", "announce-max", "announce-rounds", "announce-step"),
    *("compress-level", "compress-threads", "compress-wait-thread", "decompress-threads"),
    *("throttle-trigger-threshold", "cpu-throttle-initial", "cpu-throttle-increment"),
    *("cpu-throttle-tailslow", "max-cpu-throttle", "tls-creds", "tls-hostname", "tls-authz"),
    *("max-bandwidth", "avail-switchover-bandwidth", "max-postcopy-bandwidth"),
    *("downtime-limit", "x-checkpoint-delay", "block-incremental", "multifd-channels"),
    *("multifd-compression", "zero-page-detection", "xbzrle-cache-size"),
    *("block-bitmap-mapping", "x-vcpu-dirty-limit-period", "vcpu-dirty-limit", "mode"),
    *("direct-io", "cpr-exec-command"),
)
# 7.2 has these elsewhere: each behind the one after the colon.
_OLDER_PLACES = {
    "max-postcopy-bandwidth": "xbzrle-cache-size",
    "tls-authz": "max-postcopy-bandwidth",
}


@hmp("info migrate_capabilities")
async def migrate_capabilities(session: Session) -> str:
    """Print which capabilities are on."""
    found = await session.execute("query-migrate-capabilities")
    return "".join(f"{each['capability']}: {_switch(each['state'])}\n" for each in found)


@hmp("info migrate_parameters")
async def migrate_parameters(session: Session) -> str:
    """Print the parameters."""
    found = await session.execute("query-migrate-parameters")
    newer = session.machine.profile.version >= _NEWER
    order = list(_PARAMETERS)
    for name, before in () if newer else _OLDER_PLACES.items():
        order.remove(name)
        order.insert(order.index(before) + 1, name)
    units = _UNITS | (_NEWER_UNITS if newer else {})
    return "".join(_parameter(name, found[name], units) for name in order if name in found)


def _parameter(name: str, value: Any, units: dict[str, str]) -> str:
    if name == "block-bitmap-mapping":
        return "".join(f"{line}\n" for line in (f"{name}:", *_mapping(value)))
    if name == "cpr-exec-command":
        return "".join((f"{name}:", *(f" {word}" for word in value), "\n"))
    if name in _QUOTED:
        return f"{name}: '{value}'\n"
    if isinstance(value, bool):
        return f"{name}: {_switch(value)}\n"
    unit = units.get(name)
    return f"{name}: {value} {unit}\n" if unit else f"{name}: {value}\n"


def _mapping(nodes: list[dict[str, Any]]) -> Iterator[str]:
    for node in nodes:
        yield f"  '{node['node-name']}' -> '{node['alias']}'"
        for bitmap in node["bitmaps"]:
            yield f"    '{bitmap['name']}' -> '{bitmap['alias']}'"


@hmp("info dirty_rate")
async def dirty_rate(session: Session) -> str:
    """Print the last measurement of the dirty rate, or how far it is."""
    found = await session.execute("query-dirty-rate")
    lines = [f"Status: {found['status']}", f"Start Time: {found['start-time']} (ms)"]
    if found["mode"] == "page-sampling":
        lines.append(f"Sample Pages: {found['sample-pages']} (per GB)")
    lines += [f"Period: {found['calc-time']} (sec)", f"Mode: {found['mode']}"]
    rate = f"{found['dirty-rate']} (MB/s)" if "dirty-rate" in found else "(not ready)"
    lines.append(f"Dirty rate: {rate}")
    for each in found.get("vcpu-dirty-rate", ()):
        lines.append(f"vcpu[{each['id']}], Dirty rate: {each['dirty-rate']} (MB/s)")
    return "".join(f"{line}\n" for line in lines)


def _switch(state: bool) -> str:
    return "on" if state else "off"
