"""Image files that a command names by their path, and makes first unless they are there.

QEMU: block.c (bdrv_img_create, bdrv_open), blockdev.c (qmp_drive_mirror, drive_backup_action,
external_snapshot_action)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.block import creation, nbd_address
from qemu_sim.block.probing import probe
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.block.graph import Graph
    from qemu_sim.block.node import Node

_MADE = ("raw", "qcow2")
_NOT_MADE = frozenset({"luks", "parallels", "qcow", "qed", "vdi", "vhdx", "vmdk", "vpc"})


class NamedImage(NamedTuple):
    """What a command says of one image."""

    path: str
    format: str | None
    """None: that of the image it is made for, or what its first bytes look like."""
    exists: bool
    node_name: str | None = None

    async def open(self, graph: Graph, like: Node, backing: Node | None) -> Node:
        """Make the file, as large as `like` and above `backing`, and open it without that.

        Whoever calls has to use the node, or to drop it. Raises QMPError in QEMU's words.
        """
        driver = self.format
        if not self.exists:
            driver = driver or like.TYPE
            if not nbd_address.is_nbd(self.path):  # what is elsewhere is there already
                await self._create(graph, driver, like.size, backing)
        options: dict[str, Any] = {
            "driver": driver or probe(self.path),
            "file": file_options(self.path),
        }
        if self.node_name is not None:
            options["node-name"] = self.node_name
        if options["driver"] != "raw":
            options["backing"] = None
        return await graph.open(options)

    async def _create(self, graph: Graph, driver: str, size: int, backing: Node | None) -> None:
        if driver in _NOT_MADE:
            raise QMPError(f"images of the format '{driver}' are not simulated by qemu-sim")
        if driver not in _MADE:
            raise QMPError(f"Unknown file format '{driver}'")
        if backing is not None and driver == "raw":
            raise QMPError("Backing file not supported for file format 'raw'")
        file = {"driver": "file", "filename": self.path}
        await creation.create(graph, {**file, "size": size if driver == "raw" else 0})
        if driver == "qcow2":
            below = {}
            if backing is not None:
                below = {"backing-file": backing.filename, "backing-fmt": backing.TYPE}
            await creation.create(graph, {"driver": driver, "file": file, "size": size, **below})


def file_options(name: str) -> dict[str, Any]:
    """Return the BlockdevOptions of a file, or of an export that is named like one."""
    if nbd_address.is_nbd(name):
        return nbd_address.options(name)
    return {"driver": "file", "filename": name}


def read(arguments: dict[str, Any], key: str, *, node_name: str) -> NamedImage:
    """Return what `arguments` say of the image at `arguments[key]`."""
    return NamedImage(
        arguments[key],
        arguments.get("format"),
        arguments.get("mode", "absolute-paths") == "existing",
        arguments.get(node_name),
    )
