"""Drives: what stands between a node and the device that a guest sees.

QEMU: block/block-backend.c, blockdev.c, block/qapi-system.c

A drive that -drive defines has a name and waits for its device; the others are made by
their device and go with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from qemu_sim.block import drive_options, statistics
from qemu_sim.block.backend import Backend
from qemu_sim.block.graph import Graph
from qemu_sim.block.histograms import Histograms
from qemu_sim.block.limits import RATES
from qemu_sim.block.node import Node
from qemu_sim.block.permissions import ALL, FREE, NONE, READ, RESIZE, UNCHANGED, WRITE, Claim
from qemu_sim.errors import DeviceNotFound, QMPError


class Use(NamedTuple):
    """How a guest device uses its drive."""

    removable: bool = False
    """A CD drive: it never writes, and its medium may not change its size."""
    shares_write: bool = False
    always_writes: bool = False
    """Whether it needs to write even where the image is read-only, which then fails."""

    def claim_on(self, node: Node | None) -> Claim:
        """Return what the device asks of an image.

        QEMU: hw/block/block.c (blkconf_apply_backend_options)
        """
        shares = READ | UNCHANGED | (WRITE if self.shares_write else NONE)
        if self.removable:
            return Claim(READ, shares)
        writes = self.always_writes or node is None or not node.read_only
        return Claim(READ | WRITE if writes else READ, shares | RESIZE)


class Drive(Backend):
    """One drive."""

    def __init__(self, graph: Graph, name: str = "", node: Node | None = None) -> None:
        super().__init__(graph, Claim(READ, ALL) if name else FREE, name)
        self.removable = False
        self.tray_open = False
        self.limits: dict[str, int] = {}
        self.group: str | None = None
        self.histograms = Histograms()
        if node is not None:
            self.insert(node)

    @property
    def is_read_only(self) -> bool:
        """Whether its medium, or an empty CD drive's next one, is not written to."""
        return self.removable if self.node is None else self.node.read_only

    # What clients see.

    def describe(self, *, flat: bool) -> dict[str, Any]:
        """Return the BlockInfo."""
        found: dict[str, Any] = {
            "device": self.name,
            "type": "unknown",
            "removable": self.removable or self.device is None,
            "locked": False,
        }
        if self.device is not None:
            found |= {"qdev": self.device, "io-status": "ok"}
        if self.removable:
            found["tray_open"] = self.tray_open
        if self.shown is not None:
            found["inserted"] = {**self.shown.describe(flat=flat), **self._limits()}
        return found

    def count(self) -> dict[str, Any]:
        """Return the BlockStats."""
        found = {"device": self.name, **statistics.of_drive(self.shown, self.histograms)}
        return found if self.device is None else {**found, "qdev": self.device}

    def _limits(self) -> dict[str, Any]:
        if not self.limits:
            return {}
        given = {key: value for key, value in self.limits.items() if value or key in RATES}
        return {**given, "group": self.group}


class Drives:
    """The drives of one machine, in the order in which they were made."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._drives: list[Drive] = []

    async def define(self, given: Mapping[str, str], default_name: str) -> None:
        """Make the drive that -drive describes. Raises QMPError in QEMU's words."""
        values = dict(given)
        name = values.pop("id", default_name)
        options = drive_options.read(values)
        if name in self._graph.nodes:
            raise QMPError(f"Device name '{name}' conflicts with an existing node name")
        if any(drive.name == name for drive in self._drives):
            raise QMPError(f"Device with id '{name}' already exists")
        node = None if options is None else await self._graph.open(options)
        self._drives.append(Drive(self._graph, name, node))

    def attach(self, property_name: str, name: str | None, device: str, use: Use) -> Drive:
        """Return the drive for a device: a defined one, one for a node, or an empty one.

        `property_name` is what an error calls the property that named it. Raises QMPError.
        """
        defined = next((each for each in self._drives if each.name == name and name), None)
        drive = defined or self._made(property_name, name)
        if defined is not None:
            self._check_attach(defined, use)
        drive.device, drive.removable = device, use.removable
        try:
            drive.ask(use.claim_on(drive.node))
        except QMPError:
            drive.device, drive.removable = None, False
            drive.ask(FREE)
            if defined is None:
                drive.close()
            raise
        if defined is None:
            self._drives.append(drive)
        return drive

    def _made(self, property_name: str, name: str | None) -> Drive:
        if name is None:
            return Drive(self._graph)
        if name not in self._graph.nodes:
            raise QMPError(f"Property '{property_name}' can't find value '{name}'")
        return Drive(self._graph, node=self._graph.nodes[name])

    def _check_attach(self, drive: Drive, use: Use) -> None:
        if drive.device is not None:
            raise QMPError(f"Drive '{drive.name}' is already in use by another device")
        if drive.node is None and not use.removable:
            raise QMPError("Device needs media, but drive is empty")

    def detach(self, drive: Drive) -> None:
        """Take a device's drive away; a defined one goes with its device, too."""
        if drive in self._drives:
            drive.close()
            self._drives.remove(drive)

    def delete(self, name: str) -> None:
        """Take away the medium and the name; a drive that no device uses goes altogether.

        Raises DeviceNotFound in QEMU's words. QEMU: blockdev.c (hmp_drive_del)
        """
        drive = self.find(name, None)
        drive.remove()
        drive.name = ""
        if drive.device is None:
            self.detach(drive)

    def find(self, device: str | None, id: str | None) -> Drive:
        """Return a drive by its own name or by its device. Raises QMPError in QEMU's words."""
        if (device is None) == (id is None):
            raise QMPError("Need exactly one of 'device' and 'id'")
        for drive in self._drives:
            if (device and drive.name == device) or (id and drive.device == id):
                return drive
        raise DeviceNotFound(f"Device '{device or id}' not found")

    def node_of(self, device: str | None, node_name: str | None) -> Node:
        """Return the node that a drive or a node's name stands for. Raises QMPError."""
        for drive in self._drives:
            if device and drive.name == device:
                if drive.node is None:
                    raise QMPError(f"Device '{device}' has no medium")
                return drive.node
        found = self._graph.nodes.get(node_name or "")
        if found is None:
            raise QMPError(f"Cannot find device='{device or ''}' nor node-name='{node_name or ''}'")
        return found

    def listed(self) -> list[Drive]:
        """Return those that a client sees."""
        return [drive for drive in self._drives if drive.name or drive.device]

    def close(self) -> None:
        """Give up all of them."""
        for drive in list(self._drives):
            self.detach(drive)
