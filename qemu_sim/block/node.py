"""One node of the block graph: an image, or a filter above one.

QEMU: block.c (BlockDriverState), qapi/block-core.json (BlockdevOptions, BlockDeviceInfo)

A node's file is opened and its size is the true one. It is locked against what other
processes must not do meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qemu_sim.block import permissions
from qemu_sim.block.guest_io import GuestIO
from qemu_sim.errors import QMPError
from qemu_sim.wire import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qemu_sim.block.edge import Edge
    from qemu_sim.block.image_lock import ImageLock
    from qemu_sim.block.permissions import Claim
    from qemu_sim.block.snapshot import SnapshotStore

_SECTOR = 512
_MAX_IOV = 1024
_PAGE = 4096


class Node(GuestIO):
    """One node. Subclasses are found by their TYPE (driver_qcow2.py holds "qcow2")."""

    TYPE: ClassVar[str]
    CHILD: ClassVar[str | None] = None
    """The role of the child it is made of; None for a protocol, which has none."""
    IS_FILTER: ClassVar[bool] = False
    IS_PROTOCOL: ClassVar[bool] = False
    HAS_BACKING: ClassVar[bool] = False
    """Whether images of this format may stand on another."""
    STRONG: ClassVar[tuple[str, ...]] = ()
    """Options that decide what data the node shows, so that its file name must tell them."""

    def __init__(self, options: Mapping[str, Any], objects: Mapping[str, Any]) -> None:
        """Keep `options`, a checked BlockdevOptions with its parent's defaults filled in."""
        super().__init__()
        self.name = ""
        self.objects = objects
        self.set_options(options)
        self.parents: list[Edge] = []
        """Who uses it, the newest first."""
        self.links: dict[str, Edge] = {}
        """What it uses, by role."""
        self.lock: ImageLock | None = None
        """What keeps other processes from its file, if anything does."""
        self.owned = False
        self.active: bool = options.get("active", True)
        """Whether this process may use the image, and no other."""
        self.implicit = False
        """Whether it is a filter that a job put there, and nobody named."""
        self.height = 1

    def set_options(self, options: Mapping[str, Any]) -> None:
        """Take new options; `open` or `reopen` makes them true."""
        self.options = dict(options)
        self.read_only: bool = options.get("read-only", False)
        cache = options.get("cache", {})
        self.direct: bool = cache.get("direct", False)
        self.no_flush: bool = cache.get("no-flush", False)
        self.unmaps = options.get("discard") == "unmap"

    @property
    def in_use(self) -> bool:
        """Whether another node, a block backend or a job needs it."""
        return bool(self.parents)

    @property
    def spoken(self) -> str:
        """What a message calls it."""
        return f"node '{self.name}'"

    @property
    def writable(self) -> bool:
        """Whether the image may be written to."""
        return self.active and not self.read_only

    @property
    def children(self) -> dict[str, Node]:
        """The nodes that it is made of or stands on, by role."""
        return {role: edge.child for role, edge in self.links.items()}

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the children that it is opened with."""
        return () if self.CHILD is None else (self.CHILD,)

    @property
    def child(self) -> Node:
        """The child it is made of."""
        assert self.CHILD is not None
        return self.links[self.CHILD].child

    @property
    def backing(self) -> Node | None:
        """The node whose data shows through, a filter's too; None where there is none."""
        return self.child if self.IS_FILTER else self.children.get("backing")

    def blocker(self, role: str) -> str | None:
        """Return why nothing else may be done to what it uses in that role, if so."""
        stands_on = role == "backing" and not self.IS_FILTER
        return f"node is used as backing hd of '{self.name}'" if stands_on else None

    @property
    def below(self) -> Node | None:
        """The child whose data it shows."""
        return None if self.CHILD is None else self.child

    def check_free(self, *, by_jobs: bool = False) -> None:
        """Raise QMPError in QEMU's words while a job works on it, or an image stands on it.

        `by_jobs`: only a job matters.
        """
        for edge in self.parents:
            reason = edge.parent.blocker(edge.name)
            if reason is not None and not (by_jobs and isinstance(edge.parent, Node)):
                raise QMPError(f"Node '{self.name}' is busy: {reason}")

    # What drivers do.

    def claim_on(self, role: str, asked: Claim) -> Claim:
        """Return what it asks of a child where its own users ask for `asked`."""
        if self.IS_FILTER:
            return asked
        if role == "backing":
            found = permissions.of_backing(asked)
        else:
            found = permissions.of_image(asked, writable=self.writable)
        return found if self.active else found.with_writers()

    async def prepare(self) -> None:
        """Do what comes before any child is opened. Raises QMPError in QEMU's words."""

    def open(self) -> None:
        """Take what the host has; the child is open. Raises QMPError in QEMU's words."""

    def close(self) -> None:
        """Give everything back; nothing happens the second time."""

    @property
    def size(self) -> int:
        """Bytes that a guest would see."""
        return self.child.size

    def set_read_only(self, read_only: bool) -> None:
        """Open the image for writing, or for reading only. Raises QMPError.

        So does the child that was opened with it; one that a client opened stays as it is.
        """
        if self.CHILD is not None and not isinstance(self.options.get(self.CHILD), str):
            self.child.set_read_only(read_only)
        self.read_only = read_only

    def resize(self, size: int) -> None:  # noqa: ARG002  (for those that can)
        """Change `size`. Raises QMPError in QEMU's words."""
        raise QMPError("Image format driver does not support resize")

    def holds(self, offset: int, length: int) -> bool:
        """Whether any of this is the node's own, and not its backing file's."""
        return self.child.holds(offset, length)

    def set_backing(self, name: str | None, kind: str | None) -> None:  # noqa: ARG002  (for those that can)
        """Write the name and format of the backing file into the image."""
        raise QMPError(f"'{self.TYPE}' images have no backing file")

    @property
    def snapshot_store(self) -> SnapshotStore | None:
        """What keeps internal snapshots of its data: the image below, if that can."""
        return None if self.CHILD is None else self.child.snapshot_store

    @property
    def can_snapshot(self) -> bool:
        """Whether a snapshot of it can be made now."""
        return self.snapshot_store is not None and self.writable

    def backing_reference(self) -> dict[str, Any] | str | None:
        """What to open below this image by itself: options, a node's name, or nothing."""
        return None

    @property
    def allocated(self) -> int | None:
        """Bytes taken on the host; None where that is unknown."""
        return self.child.allocated

    @property
    def has_flags(self) -> bool:
        """Whether the driver knows if the image is dirty."""
        return self.child.has_flags

    @property
    def alignment(self) -> dict[str, int]:
        """The limits that are the driver's own, or those below a filter."""
        below = self.child.alignment if self.IS_FILTER else {}
        return {key: below[key] for key in ("discard-alignment",) if key in below}

    @property
    def memory_alignment(self) -> int:
        """Bytes; the file at the bottom decides."""
        return max(child.memory_alignment for child in self.children.values())

    @property
    def request_alignment(self) -> int:
        """Bytes."""
        return 1

    def format_facts(self) -> dict[str, Any]:
        """Members of ImageInfo that only this format has, or the one below a filter."""
        below = self.child.format_facts() if self.IS_FILTER else {}
        return {key: below[key] for key in ("cluster-size",) if key in below}

    # Its name as a file.

    @property
    def exact_filename(self) -> str:
        """The plain name that says everything about the node; "" where there is none."""
        below = self.child.exact_filename
        if self.implicit:
            return below
        plain = not self.IS_FILTER and self.child.IS_PROTOCOL and not self._strong()
        return below if plain and not self.backing_differs else ""

    @property
    def backing_differs(self) -> bool:
        """Whether the image below is another than the header says."""
        return False

    @property
    def filename(self) -> str:
        """The name by which the same node could be opened again."""
        return self.exact_filename or f"json:{json_text.text(self.full_options())}"

    def full_options(self) -> dict[str, Any]:
        """The options that decide what data the node shows, its children's included."""
        if self.implicit:
            return self.child.full_options()
        found = {"driver": self.TYPE, **self._strong()}
        for role, child in self.children.items():
            if role != "backing" or self.backing_differs:
                found[role] = child.full_options()
        return found

    def _strong(self) -> dict[str, Any]:
        return {key: self.options[key] for key in self.STRONG if key in self.options}

    # What query-named-block-nodes says.

    def image(self, *, flat: bool) -> dict[str, Any]:
        """Return the ImageInfo, with that of the image below unless `flat`."""
        found: dict[str, Any] = {
            "filename": self.filename,
            "format": self.TYPE,
            "virtual-size": -(-self.size // _SECTOR) * _SECTOR,
            "limits": {
                "request-alignment": self.request_alignment,
                "min-mem-alignment": self.memory_alignment,
                "opt-mem-alignment": _PAGE,
                "max-iov": _MAX_IOV,
                **self.alignment,
            },
        }
        if self.allocated is not None:
            found["actual-size"] = self.allocated
        if self.has_flags:
            found["dirty-flag"] = False
        found |= self.format_facts()
        if self.backing is not None and not flat:
            found["backing-image"] = self.backing.image(flat=False)
        return found

    def describe(self, *, flat: bool) -> dict[str, Any]:
        """Return the BlockDeviceInfo, without the limits that a drive adds."""
        found = {
            "file": self.filename,
            "node-name": self.name,
            "ro": self.read_only,
            "drv": self.TYPE,
            "active": self.active,
            "encrypted": False,
            "children": [
                {"child": role, "node-name": child.name}
                for role, child in reversed(self.children.items())
            ],
            "backing_file_depth": 0 if flat else self._depth(),
            "detect_zeroes": self.options.get("detect-zeroes", "off"),
            "write_threshold": self.write_threshold,
            "cache": {"writeback": True, "direct": self.direct, "no-flush": self.no_flush},
            "image": self.image(flat=flat),
            **dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0),
        }
        if self.bitmaps:
            found["dirty-bitmaps"] = [each.describe() for each in reversed(self.bitmaps.values())]
        if "backing" in self.links and not self.IS_FILTER:
            found["backing_file"] = self.children["backing"].filename
        return found

    def _depth(self) -> int:
        return 0 if self.backing is None else 1 + self.backing._depth()  # noqa: SLF001  (same class)
