"""The driver qcow2: its header is real, and so are the sizes and names in it.

QEMU: block/qcow2.c
"""

from __future__ import annotations

import os
import struct
from typing import Any

from qemu_sim.block import qcow2_header
from qemu_sim.block.node import Node
from qemu_sim.block.probing import probe
from qemu_sim.block.qcow2_clusters import Clusters
from qemu_sim.block.qcow2_snapshots import Qcow2Snapshots
from qemu_sim.errors import QMPError

_SECTOR = 512
_SIZE_AT = 24  # of the virtual size in the header
_ENTRY = 8  # bytes of a table's entry
_LARGEST_CLUSTER = 2 << 20
_COMPRESSIONS = ("zlib", "zstd")


class DriverQcow2(Node):
    """An image in the file below, above the backing file that its header names."""

    TYPE = "qcow2"
    CHILD = "file"
    HAS_BACKING = True

    header: qcow2_header.Header

    def open(self) -> None:
        """Read the header."""
        self.read_header()
        self._clusters = Clusters(self)

    @property
    def snapshot_store(self) -> Qcow2Snapshots:
        """The image itself."""
        return Qcow2Snapshots(self, self._clusters)

    def read_header(self) -> None:
        """Learn what was written to the header."""
        self.header = qcow2_header.read(self.child.read(0, _LARGEST_CLUSTER))

    @property
    def size(self) -> int:
        """The virtual size."""
        return self.header.size

    def resize(self, size: int) -> None:
        """Write a new size, as far as the tables that exist can map it."""
        if size % _SECTOR:
            raise QMPError("The new size must be a multiple of 512")
        if self.header.snapshots and self.header.version < 3:  # noqa: PLR2004
            raise QMPError("Can't resize a version 2 image which has snapshots")
        if size < self.size and self.holds(size, self.size - size):
            raise QMPError("shrinking a qcow2 image with data is not simulated by qemu-sim")
        if size > self.header.coverage:
            self._grow(size)
        self.child.write(_SIZE_AT, struct.pack(">Q", size))
        self.read_header()

    def _grow(self, size: int) -> None:
        """Make the L1 table long enough for `size` bytes."""
        header = self.header
        if header.incompatible & qcow2_header.EXTENDED_L2:
            raise QMPError("growing a qcow2 image with subclusters is not simulated by qemu-sim")
        self._clusters.grow(-(-size // (header.cluster * header.cluster // _ENTRY)))

    def read(self, offset: int, length: int) -> bytes:
        """Return data of the image, or of what is below."""
        return self._clusters.read(offset, length, self._below)

    def write(self, offset: int, data: bytes) -> None:
        """Store data in the image."""
        self._clusters.write(offset, data, self._below)

    @property
    def below(self) -> None:
        """The data are not those of the file, but in it."""

    def flush(self) -> None:
        """Have the disk take what was written."""
        self.child.flush()

    def extent(self, offset: int, length: int) -> tuple[int, bool]:
        """Tell of one cluster; zeros are where neither image nor backing file has it."""
        alike = min(length, self.header.cluster - offset % self.header.cluster)
        if self.holds(offset, alike):
            return alike, False
        backing = self.children.get("backing")
        if backing is None or offset >= backing.size:
            return alike, True
        return backing.extent(offset, min(alike, backing.size - offset))

    def holds(self, offset: int, length: int) -> bool:
        """Whether the image itself has any of this."""
        return self._clusters.holds(offset, length)

    def set_backing(self, name: str | None, kind: str | None) -> None:
        """Write another backing file into the header."""
        start = self.child.read(0, self.header.cluster)
        self.child.write(0, qcow2_header.with_backing(start, name, kind))
        self.read_header()

    def _below(self, offset: int, length: int) -> bytes:
        backing = self.children.get("backing")
        if backing is None or offset >= backing.size:
            return bytes(length)
        return backing.read(offset, min(length, backing.size - offset)).ljust(length, b"\0")

    def backing_reference(self) -> dict[str, Any] | None:
        """Open what the header names, relative to the image's own folder."""
        path = self._full_backing()
        if path is None:
            return None
        driver = self.header.backing_format or _probed(path)
        return {"driver": driver, "file": {"driver": "file", "filename": path}}

    @property
    def backing_differs(self) -> bool:
        """Whether `backing` was given, and is not what the header says."""
        if "backing" not in self.options:
            return False
        backing = self.children.get("backing")
        # QEMU compares with the name as the header has it, relative or not.
        return (backing and backing.filename) != self.header.backing_file

    def full_options(self) -> dict[str, Any]:
        """Also that nothing is below, where the header names something."""
        found = super().full_options()
        if self.backing_differs and "backing" not in self.children:
            found["backing"] = None
        return found

    @property
    def alignment(self) -> dict[str, int]:
        """Whole clusters, or their parts where those are tracked."""
        cluster = self.header.cluster
        if self.header.incompatible & qcow2_header.EXTENDED_L2:
            cluster //= 32
        return {"write-zeroes-alignment": cluster, "discard-alignment": cluster}

    def format_facts(self) -> dict[str, Any]:
        """Cluster size, names of the backing file, snapshots, and qcow2's own data."""
        header = self.header
        found: dict[str, Any] = {
            "cluster-size": header.cluster,
            "format-specific": {"type": "qcow2", "data": self._data()},
        }
        if header.backing_file is not None:
            found["backing-filename"] = header.backing_file
            found["full-backing-filename"] = self._full_backing()
        if header.backing_format is not None:
            found["backing-filename-format"] = header.backing_format
        if header.snapshots:
            found["snapshots"] = [each.to_qapi() for each in self.snapshot_store.listed()]
        return found

    def _data(self) -> dict[str, Any]:
        header = self.header
        found = {
            "compat": "0.10" if header.version < 3 else "1.1",  # noqa: PLR2004
            "compression-type": _COMPRESSIONS[header.compression],
            "refcount-bits": 1 << header.refcount_order,
        }
        if header.version < 3:  # noqa: PLR2004
            return found
        return found | {
            "lazy-refcounts": bool(header.compatible & qcow2_header.LAZY_REFCOUNTS),
            "corrupt": bool(header.incompatible & qcow2_header.CORRUPT),
            "extended-l2": bool(header.incompatible & qcow2_header.EXTENDED_L2),
        }

    def _full_backing(self) -> str | None:
        name = self.header.backing_file
        if name is None:
            return None
        return os.path.join(os.path.dirname(self.child.filename), name)


def _probed(path: str) -> str:
    try:
        return probe(path)
    except QMPError:
        return "raw"  # opening it will say what is wrong
