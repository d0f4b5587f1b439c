"""The header of a qcow2 image: read from a file, and written for a new one.

QEMU: docs/interop/qcow2.rst (qcow2 versions 2 and 3), block/qcow2.c

A new image has its header, a refcount table of one cluster, one refcount block, and an L1
table; everything reads as zero, or as the backing file.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from qemu_sim.errors import QMPError

MAGIC = 0x514649FB  # "QFI\xfb"
_FIRST = struct.Struct(">II")
_V2 = struct.Struct(">IIQIIQIIQQIIQ")  # 72 bytes
_V3 = struct.Struct(">QQQII")  # behind it
_EXTENSION = struct.Struct(">II")
_BACKING_FORMAT = 0xE2792ACA
_VERSIONS = (2, 3)
_CLUSTER_BITS = range(9, 22)
_MAX_NAME = 1023
_ENTRY = 8  # bytes of a table's entry

DIRTY, CORRUPT, EXTERNAL_DATA, COMPRESSION, EXTENDED_L2 = (1 << bit for bit in range(5))
LAZY_REFCOUNTS = 1
_KNOWN = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION | EXTENDED_L2


class Header(NamedTuple):
    """What a header says; sizes and offsets are in bytes."""

    version: int
    size: int
    cluster_bits: int
    l1_size: int
    l1_offset: int
    refcount_order: int
    snapshots: int
    snapshots_offset: int
    incompatible: int
    compatible: int
    compression: int
    backing_file: str | None
    backing_format: str | None

    @property
    def cluster(self) -> int:
        """Bytes of a cluster."""
        return 1 << self.cluster_bits

    @property
    def coverage(self) -> int:
        """Bytes that the L1 table can map."""
        per_table = self.cluster // (_ENTRY * 2 if self.incompatible & EXTENDED_L2 else _ENTRY)
        return self.l1_size * per_table * self.cluster


def read(data: bytes) -> Header:
    """Read a header from the image's first cluster. Raises QMPError in QEMU's words."""
    data = data.ljust(_V2.size + _V3.size, b"\0")
    magic, version = _FIRST.unpack_from(data)
    if magic != MAGIC:
        raise QMPError("Image is not in qcow2 format")
    if version not in _VERSIONS:
        raise QMPError(f"Unsupported qcow2 version {version}")
    return _read(data, version)


def _read(data: bytes, version: int) -> Header:
    (
        _,
        _,
        name_at,
        name_length,
        cluster_bits,
        size,
        encryption,
        l1_size,
        l1_at,
        _,
        _,
        count,
        at,
    ) = _V2.unpack_from(data)
    incompatible, compatible, _, order, length = _V3.unpack_from(data, _V2.size)
    if version == _VERSIONS[0]:
        incompatible, compatible, order, length = 0, 0, 4, _V2.size
    if cluster_bits not in _CLUSTER_BITS:
        raise QMPError(f"Unsupported cluster size: 2^{cluster_bits}")
    if incompatible & ~_KNOWN:
        unknown = incompatible & ~_KNOWN
        raise QMPError(f"Unsupported qcow2 feature(s): Unknown incompatible feature: {unknown:x}")
    if encryption or incompatible & EXTERNAL_DATA:
        raise QMPError("qcow2 with encryption or external data is not simulated by qemu-sim")
    if name_length > _MAX_NAME:
        raise QMPError("Backing file name too long")
    name = data[name_at : name_at + name_length].decode("utf-8", "surrogateescape")
    compression = data[_V2.size + _V3.size] if incompatible & COMPRESSION else 0
    return Header(
        version,
        size,
        cluster_bits,
        l1_size,
        l1_at,
        order,
        count,
        at,
        incompatible,
        compatible,
        compression,
        name if name_at else None,
        _backing_format(data, length) if name_at else None,
    )


def _backing_format(data: bytes, at: int) -> str | None:
    """Look through the header's extensions."""
    while at + _EXTENSION.size <= len(data):
        kind, length = _EXTENSION.unpack_from(data, at)
        at += _EXTENSION.size
        if kind == 0:
            break
        if kind == _BACKING_FORMAT:
            return data[at : at + length].decode("utf-8", "surrogateescape")
        at += -(-length // 8) * 8
    return None


class New(NamedTuple):
    """What a new image is to be."""

    size: int
    version: int = 3
    cluster_bits: int = 16
    lazy_refcounts: bool = False
    backing_file: str | None = None
    backing_format: str | None = None


def make(new: New) -> bytes:
    """Return the whole of a new, empty image."""
    cluster = 1 << new.cluster_bits
    l1_size = -(-new.size // (cluster * cluster // _ENTRY))
    l1_clusters = max(1, -(-l1_size * _ENTRY // cluster))
    l1_offset = 3 * cluster
    head = _V2.pack(
        *(MAGIC, new.version, 0, 0, new.cluster_bits, new.size, 0),
        *(l1_size, l1_offset, cluster, 1, 0, 0),
    )
    if new.version > _VERSIONS[0]:
        compatible = LAZY_REFCOUNTS if new.lazy_refcounts else 0
        head += _V3.pack(0, compatible, 0, 4, _V2.size + _V3.size + 8) + bytes(8)
    head += _extensions(new)
    if new.backing_file is not None:
        name = new.backing_file.encode("utf-8", "surrogateescape")
        head = head[:8] + struct.pack(">QI", len(head), len(name)) + head[20:] + name
    clusters = 3 + l1_clusters
    counts = struct.pack(f">{clusters}H", *([1] * clusters))
    table = struct.pack(">Q", 2 * cluster)
    return b"".join(part.ljust(cluster, b"\0") for part in (head, table, counts)) + bytes(
        l1_clusters * cluster
    )


def _extensions(new: New) -> bytes:
    found = b""
    if new.backing_format is not None:
        name = new.backing_format.encode()
        found += _EXTENSION.pack(_BACKING_FORMAT, len(name)) + name.ljust(
            -(-len(name) // 8) * 8, b"\0"
        )
    return found + _EXTENSION.pack(0, 0)
