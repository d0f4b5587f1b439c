"""Exports of nodes, and the NBD server through which clients reach them.

QEMU: qapi/block-export.json, block/export/export.c, blockdev-nbd.c
"""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING, Any

from qemu_sim.block.export import Terms
from qemu_sim.commands.registry import Monitor, command, named_fds
from qemu_sim.errors import QMPError
from qemu_sim.io import address as addresses

if TYPE_CHECKING:
    from qemu_sim.block.node import Node
    from qemu_sim.machine.machine import Machine

Arguments = dict[str, Any]

_MAX_CONNECTIONS = 100  # include/block/nbd.h (NBD_DEFAULT_MAX_CONNECTIONS)
_HANDSHAKE_SECONDS = 10  # NBD_DEFAULT_HANDSHAKE_MAX_SECS


@command("nbd-server-start", monitor=True, raw=True)
def nbd_server_start(machine: Machine, monitor: Monitor, arguments: Arguments) -> None:
    """Listen for clients of exports that are still to come."""
    machine.exports.check_no_server()
    if "tls-creds" in arguments:
        _refuse_tls(machine, arguments["tls-creds"])
    given = arguments["addr"]
    address = addresses.from_qapi({"type": given["type"], **given["data"]})
    machine.exports.start_server(
        _passed(monitor, address.name) if isinstance(address, addresses.FdAddress) else address,
        max_connections=arguments.get("max-connections", _MAX_CONNECTIONS),
        handshake_seconds=arguments.get("handshake-max-seconds", _HANDSHAKE_SECONDS),
    )


@command("nbd-server-stop")
def nbd_server_stop(machine: Machine) -> None:
    """End the server, its connections and all exports."""
    machine.exports.stop_server()


@command("nbd-server-add", raw=True)
def nbd_server_add(machine: Machine, arguments: Arguments) -> None:
    """Export a drive's node; one that is read-only stays so."""
    device = arguments["device"]
    node = machine.board.drives.node_of(device, device)
    if "bitmap" in arguments:
        _refuse_bitmap(node, arguments["bitmap"])
    name = str(arguments.get("name", device))
    writable = arguments.get("writable", False) and not node.read_only
    machine.exports.add(node, Terms(name, name, arguments.get("description"), writable))


@command("nbd-server-remove")
def nbd_server_remove(machine: Machine, *, name: str, mode: str = "safe") -> None:
    """End an export."""
    machine.exports.delete(name, mode)


@command("block-export-add", raw=True)
def block_export_add(machine: Machine, arguments: Arguments) -> None:
    """Export a node."""
    if arguments["type"] != "nbd":
        raise QMPError(f"not simulated by qemu-sim: block exports of type '{arguments['type']}'")
    node = machine.board.drives.node_of(None, arguments["node-name"])
    _check_iothreads(machine, arguments.get("iothread", []))
    for each in arguments.get("bitmaps", []):
        _refuse_bitmap(node, each)
    if arguments.get("allocation-depth"):
        raise QMPError("not simulated by qemu-sim: 'allocation-depth' of a block export")
    name = str(arguments.get("name", arguments["node-name"]))
    terms = Terms(
        arguments["id"],
        name,
        arguments.get("description"),
        arguments.get("writable", False),
        arguments.get("writethrough", False),
    )
    machine.exports.add(node, terms, inactive=arguments.get("allow-inactive", False))


@command("block-export-del")
def block_export_del(machine: Machine, *, id: str, mode: str = "safe") -> None:
    """End an export."""
    machine.exports.delete(id, mode)


@command("query-block-exports")
def query_block_exports(machine: Machine) -> list[dict[str, Any]]:
    """Return all exports, the newest first as in QEMU."""
    return [export.describe() for export in reversed(machine.exports.listed())]


def _passed(monitor: Monitor, name: str) -> socket.socket:
    """Return the socket that `getfd` named. Raises QMPError in QEMU's words."""
    (fd,) = named_fds(monitor, name)
    with fd:
        if not stat.S_ISSOCK(os.fstat(fd.fileno()).st_mode):
            raise QMPError(f"File descriptor '{name}' is not a socket")
        return socket.socket(fileno=fd.detach())


def _refuse_tls(machine: Machine, id: str) -> None:
    if id not in machine.board.objects:
        raise QMPError(f"No TLS credentials with id '{id}'")
    raise QMPError("not simulated by qemu-sim: an NBD server with TLS")


def _check_iothreads(machine: Machine, given: str | list[str]) -> None:
    for name in [given] if isinstance(given, str) else given:
        if name not in machine.board.objects:
            raise QMPError(f'iothread "{name}" not found')


def _refuse_bitmap(node: Node, given: str | dict[str, str]) -> None:
    """Raise QMPError: in QEMU's words where there is no such bitmap."""
    name = given if isinstance(given, str) else given["name"]
    if name not in node.bitmaps:
        raise QMPError(f"Bitmap '{name}' is not found")
    raise QMPError("not simulated by qemu-sim: a dirty bitmap in a block export")
