"""The exports of one machine, and the server through which clients reach them.

QEMU: block/export/export.c, blockdev-nbd.c
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.block import activity
from qemu_sim.block.export import Export
from qemu_sim.errors import QMPError
from qemu_sim.wire import nbd

if TYPE_CHECKING:
    import socket

    from qemu_sim.block.export import Terms
    from qemu_sim.block.graph import Graph
    from qemu_sim.block.nbd_server import NbdServer
    from qemu_sim.block.node import Node
    from qemu_sim.io.address import StreamAddress

_ID = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")

_NEWER = (8, 0, 0)  # than 7.2

Emit = Callable[[str, dict[str, Any]], None]
Bug = Callable[[Exception], str]


class Exports:
    """The exports of one machine, oldest first. `has_server`: clients can connect."""

    def __init__(self, graph: Graph, emit: Emit, bug: Bug, version: tuple[int, int, int]) -> None:
        """`emit` tells an event; `bug` records what nobody foresaw; `version` is QEMU's."""
        self._graph = graph
        self._emit = emit
        self._bug = bug
        self._newest_first = version >= _NEWER
        self._exports: dict[str, Export] = {}
        self._server: NbdServer | None = None

    # The server.

    @property
    def has_server(self) -> bool:
        """Whether a server listens."""
        return self._server is not None

    def start_server(
        self,
        address: StreamAddress | socket.socket,
        *,
        max_connections: int = 0,
        handshake_seconds: int = 0,
    ) -> None:
        """Listen; 0 is for no limit. Raises QMPError in QEMU's words."""
        self.check_no_server()
        from qemu_sim.block.nbd_server import NbdServer  # noqa: PLC0415 - few machines have one

        self._server = NbdServer(
            address,
            self.listed,
            self._bug,
            max_connections=max_connections,
            handshake_seconds=handshake_seconds,
        )

    def check_no_server(self) -> None:
        """Raise QMPError in QEMU's words if there is one already."""
        if self._server is not None:
            raise QMPError("NBD server already running")

    def check_server(self) -> None:
        """Raise QMPError in QEMU's words if there is none."""
        if self._server is None:
            raise QMPError("NBD server not running")

    def stop_server(self) -> None:
        """End all exports and connections. Raises QMPError in QEMU's words."""
        self.check_server()
        exports = self.listed()
        for export in reversed(exports) if self._newest_first else exports:
            self._remove(export)
            self._tell(export.terms.id)
        assert self._server is not None
        self._server.close()
        self._server = None

    # Exports.

    def add(self, node: Node, terms: Terms, *, inactive: bool = False) -> None:
        """Export `node`. Raises QMPError in QEMU's words.

        Its image is this process's from now on, unless it may be `inactive`.
        """
        if not _ID.fullmatch(terms.id):
            raise QMPError("Invalid block export id")
        if terms.id in self._exports:
            raise QMPError(f"Block export id '{terms.id}' is already in use")
        if terms.writable and node.read_only:
            raise QMPError("Cannot export read-only node as writable")
        if not inactive:
            activity.activate(node)
        self.check_server()
        if len(nbd.to_bytes(terms.name)) > nbd.MAX_STRING:
            raise QMPError(f"export name '{terms.name}' too long")
        if len(nbd.to_bytes(terms.description or "")) > nbd.MAX_STRING:
            raise QMPError(f"description '{terms.description}' too long")
        if any(export.terms.name == terms.name for export in self._exports.values()):
            raise QMPError(f"NBD server already has export named '{terms.name}'")
        self._exports[terms.id] = Export(self._graph, node, terms)

    def delete(self, id: str, mode: str) -> None:
        """End an export; in mode `safe`, only one that no client uses. Raises QMPError."""
        export = self._exports.get(id)
        if export is None:
            raise QMPError(f"Export '{id}' is not found")
        if mode == "safe":
            export.check_unused()
        had_clients = bool(export.clients)
        self._remove(export)
        if had_clients:  # their end is waited for, and the reply is not
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._tell, id)
        else:
            self._tell(id)

    def listed(self) -> list[Export]:
        """Return all of them, oldest first."""
        return list(self._exports.values())

    def close(self) -> None:
        """End everything; nothing is told of it."""
        for export in self._exports.values():
            export.close()
        self._exports.clear()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _remove(self, export: Export) -> None:
        del self._exports[export.terms.id]
        export.close()

    def _tell(self, id: str) -> None:
        self._emit("BLOCK_EXPORT_DELETED", {"id": id})
