"""Where a migration goes: `uri` or `channels`, as one address.

QEMU: migration/migration.c (migrate_uri_parse), qapi/migration.json (MigrationAddress)
"""

from __future__ import annotations

from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.io import address as addresses
from qemu_sim.io.address import InetAddress, UnixAddress

_NOT_SIMULATED = ("exec", "fd", "file", "rdma", "vsock")


def parse(uri: str | None, channels: list[dict[str, Any]] | None) -> UnixAddress | InetAddress:
    """Return the address of the main channel. Raises QMPError in QEMU's words."""
    if (uri is None) == (channels is None):
        raise QMPError("need either 'uri' or 'channels' argument")
    if uri is not None:
        return _parse_uri(uri)
    assert channels is not None
    return _parse_channels(channels)


def _parse_uri(uri: str) -> UnixAddress | InetAddress:
    kind, _, rest = uri.partition(":")
    if kind == "unix" and rest:
        return addresses.unix_address(rest)
    if kind == "unix":
        raise QMPError("invalid Unix socket address")
    if kind == "tcp":
        return addresses.inet_address(rest)
    if kind in _NOT_SIMULATED:
        raise QMPError(f"migration over '{kind}' is not simulated by qemu-sim")
    raise QMPError(f"unknown migration protocol: {uri}")


def _parse_channels(channels: list[dict[str, Any]]) -> UnixAddress | InetAddress:
    main = [channel["addr"] for channel in channels if channel["channel-type"] == "main"]
    if len(main) > 1:
        raise QMPError("Channel list has more than one main entry")
    if not main:
        raise QMPError("Channel list has no main entry")
    if len(main) != len(channels):
        raise QMPError("a 'cpr' channel is not simulated by qemu-sim")
    transport = main[0]["transport"]
    if transport != "socket":
        raise QMPError(f"migration over '{transport}' is not simulated by qemu-sim")
    found = addresses.from_qapi(main[0])
    if isinstance(found, addresses.FdAddress):
        raise QMPError("migration over 'fd' is not simulated by qemu-sim")
    return found
