"""HMP's "info migrate": how a migration goes.

QEMU: migration/migration-hmp-cmds.c (hmp_info_migrate)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qemu_sim.commands.hmp.table import Session, hmp
from qemu_sim.errors import QMPError
from qemu_sim.qapi.sizes import size_text

_NEWER = (8, 0, 0)  # than 7.2
_GLOBALS = (
    *("store-global-state: on", "only-migratable: off", "send-configuration: on"),
    "send-section-footer: on",
)
_OLDER_GLOBALS = (*_GLOBALS, "decompress-error-check: on", "clear-bitmap-shift: 18")
_NEWER_GLOBALS = (*_GLOBALS, "send-switchover-start: on", "clear-bitmap-shift: 18")
# What is printed of a time or a number of bytes if it is there: in 11.1's words, by QMP's.
_TIMES = {"setup-time": "setup", "expected-downtime": "exp_down", "downtime": "down"}
_RARE = {
    "postcopy-requests": "postcopy_req",
    "downtime-bytes": "downtime_bytes",
    "dirty-sync-missed-zero-copy": "zerocopy_fallbacks",
}

Found = dict[str, Any]


@hmp("info migrate")
async def migrate(session: Session, *, all: bool = False) -> str:
    """Print status and progress, with `all` the settings of the program as well."""
    found = await session.execute("query-migrate")
    if session.machine.profile.version < _NEWER:
        lines = ["globals:", *_OLDER_GLOBALS, *_blocked(found), *_older(found)]
    else:
        lines = [*_blocked(found), *_newer(found)]
    if all:
        if "xbzrle-cache" in found or "postcopy-blocktime" in found:
            raise QMPError("not simulated by qemu-sim: info migrate -a")
        lines += ["Globals:", *(f"  {each}" for each in _NEWER_GLOBALS)]
    return "".join(f"{line}\n" for line in lines)


def _blocked(found: Found) -> Iterator[str]:
    if "blocked-reasons" in found:
        yield "Outgoing migration blocked:"
        yield from (f"  {reason}" for reason in found["blocked-reasons"])


def _newer(found: Found) -> Iterator[str]:
    if "status" in found:
        yield f"Status: \t\t{found['status']}{_reason(found, 'failed', 'postcopy-paused')}"
        if found.get("total-time"):
            times = [f", {shown}={found[name]}" for name, shown in _TIMES.items() if name in found]
            yield f"Time (ms): \t\ttotal={found['total-time']}{''.join(times)}"
    yield from _sockets("Sockets", found)
    if "ram" in found:
        yield from _newer_ram(found["ram"])


def _newer_ram(ram: Found) -> Iterator[str]:
    size = {
        name: size_text(ram[name]) for name in ("page-size", "total", "transferred", "remaining")
    }
    channels = [f"{each}={size_text(ram[f'{each}-bytes'])}" for each in _CHANNELS]
    dirty = f", dirty={ram['dirty-pages-rate']}" if ram["dirty-pages-rate"] else ""
    others = [f", {shown}={ram[name]}" for name, shown in _RARE.items() if ram.get(name)]
    yield "RAM info:"
    yield f"  Throughput (Mbps): \t{ram['mbps']:.2f}"
    yield f"  Sizes: \t\tpagesize={size['page-size']}, total={size['total']}"
    yield f"  Transfers: \t\ttransferred={size['transferred']}, remain={size['remaining']}"
    yield f"    Channels: \t\t{', '.join(channels)}"
    yield f"    Page Types: \tnormal={ram['normal']}, zero={ram['duplicate']}"
    yield f"  Page Rates (pps): \ttransfer={ram['pages-per-second']}{dirty}"
    yield f"  Others: \t\tdirty_syncs={ram['dirty-sync-count']}{''.join(others)}"


_CHANNELS = ("precopy", "multifd", "postcopy")


def _older(found: Found) -> Iterator[str]:
    if "status" in found:
        yield f"Migration status: {found['status']}{_reason(found, 'failed')}"
        yield f"total time: {found.get('total-time', 0)} ms"
        for name in ("expected-downtime", "downtime", "setup-time"):
            if name in found:
                yield f"{name.removesuffix('-time').replace('-', ' ')}: {found[name]} ms"
    if "ram" in found:
        yield from _older_ram(found["ram"])
    yield from _sockets("socket address", found)


def _older_ram(ram: Found) -> Iterator[str]:
    yield f"transferred ram: {ram['transferred'] >> 10} kbytes"
    yield f"throughput: {ram['mbps']:.2f} mbps"
    yield f"remaining ram: {ram['remaining'] >> 10} kbytes"
    yield f"total ram: {ram['total'] >> 10} kbytes"
    yield from (f"{name}: {ram[name]} pages" for name in ("duplicate", "skipped", "normal"))
    yield f"normal bytes: {ram['normal-bytes'] >> 10} kbytes"
    yield f"dirty sync count: {ram['dirty-sync-count']}"
    yield f"page size: {ram['page-size'] >> 10} kbytes"
    yield f"multifd bytes: {ram['multifd-bytes'] >> 10} kbytes"
    yield f"pages-per-second: {ram['pages-per-second']}"
    if ram.get("dirty-pages-rate"):
        yield f"dirty pages rate: {ram['dirty-pages-rate']} pages"
    if ram.get("postcopy-requests"):
        yield f"postcopy request count: {ram['postcopy-requests']}"
    for phase in ("precopy", "downtime", "postcopy"):
        if ram.get(f"{phase}-bytes"):
            yield f"{phase} ram: {ram[f'{phase}-bytes'] >> 10} kbytes"


def _reason(found: Found, *statuses: str) -> str:
    tells = found["status"] in statuses and "error-desc" in found
    return f" ({found['error-desc']})" if tells else ""


def _sockets(title: str, found: Found) -> Iterator[str]:
    if "socket-address" not in found:
        return
    yield f"{title}: ["
    for address in found["socket-address"]:
        if address["type"] == "inet":
            yield f"\ttcp:{address['host']}:{address['port']}"
        else:
            yield f"\t{address['type']}:{address.get('path') or address.get('str')}"
    yield "]"
