"""The header of a qcow2 image: read from a file, and written for a new one.

QEMU: docs/interop/qcow2.rst (qcow2 versions 2 and 3), block/qcow2.c

A new image has its header, a refcount table of one cluster, one refcount block, and an L1
table; everything reads as zero, or as the backing file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from qemu_sim.errors import QMPError

MAGIC = 0x514649FB  # "QFI\xfb"
_FIRST = struct.Struct(">II")
_V2 = struct.Struct(">IIQIIQIIQQIIQ")  # 72 bytes
_V3 = struct.Struct(">QQQII")  # behind it
_EXTENSION = struct.Struct(">II")
_BACKING_FORMAT = 0xE2792ACA
_VERSIONS = (2, 3)
CLUSTER_BITS = range(9, 22)
_MAX_NAME = 1023
_MAX_ORDER = 6
_ZSTD = 1
_ENTRY = 8  # bytes of a table's entry
_COUNT = 2  # bytes of a refcount
MAX_SNAPSHOTS = 65536  # QCOW_MAX_SNAPSHOTS
MAX_L1 = (32 << 20) // _ENTRY  # QCOW_MAX_L1_SIZE

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
    refcount_offset: int
    refcount_clusters: int
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
    data = data.ljust(_V2.size + _V3.size + 8, b"\0")
    magic, version = _FIRST.unpack_from(data)
    if magic != MAGIC:
        raise QMPError("Image is not in qcow2 format")
    if version not in _VERSIONS:
        raise QMPError(f"Unsupported qcow2 version {version}")
    return _read(data, version)


def _read(data: bytes, version: int) -> Header:
    _, _, name_at, name_length, bits, size, encryption, *rest = _V2.unpack_from(data)
    l1_size, l1_offset, counts_at, count_clusters, snapshots, snapshots_at = rest
    incompatible, compatible, _, order, length = _V3.unpack_from(data, _V2.size)
    if version == _VERSIONS[0]:
        incompatible, compatible, order, length = 0, 0, 4, _V2.size
    if bits not in CLUSTER_BITS:
        raise QMPError(f"Unsupported cluster size: 2^{bits}")
    _check_features(incompatible)
    if encryption:
        raise QMPError("qcow2 with encryption is not simulated by qemu-sim")
    if order > _MAX_ORDER:
        raise QMPError("Reference count entry width too large; may not exceed 64 bits")
    if name_length > _MAX_NAME:
        raise QMPError("Backing file name too long")
    _check_tables(l1_size, snapshots)
    name = data[name_at : name_at + name_length].decode("utf-8", "surrogateescape")
    return Header(
        version=version,
        size=size,
        cluster_bits=bits,
        l1_size=l1_size,
        l1_offset=l1_offset,
        refcount_offset=counts_at,
        refcount_clusters=count_clusters,
        refcount_order=order,
        snapshots=snapshots,
        snapshots_offset=snapshots_at,
        incompatible=incompatible,
        compatible=compatible,
        compression=_compression(data, incompatible),
        backing_file=name if name_at and name else None,
        backing_format=_backing_format(data, length) if name_at and name else None,
    )


def _check_tables(l1_size: int, snapshots: int) -> None:
    if l1_size > MAX_L1:
        raise QMPError("Active L1 table too large")
    if snapshots > MAX_SNAPSHOTS:
        raise QMPError("Snapshot table too large")


def _compression(data: bytes, incompatible: int) -> int:
    kind = data[_V2.size + _V3.size] if incompatible & COMPRESSION else 0
    if kind > _ZSTD:
        raise QMPError(f"qcow2 compression type {kind} is not simulated by qemu-sim")
    return kind


def _check_features(incompatible: int) -> None:
    unknown = incompatible & ~_KNOWN
    if unknown:
        raise QMPError(f"Unsupported qcow2 feature(s): Unknown incompatible feature: {unknown:x}")
    if incompatible & EXTERNAL_DATA:
        raise QMPError("qcow2 with external data is not simulated by qemu-sim")


class New(NamedTuple):
    """What a new image is to be."""

    size: int
    version: int = 3
    cluster_bits: int = 16
    lazy_refcounts: bool = False
    backing_file: str | None = None
    backing_format: str | None = None


def make(new: New) -> bytes:
    """Return the whole of a new, empty image. Raises QMPError."""
    cluster = 1 << new.cluster_bits
    l1_size = -(-new.size // (cluster * cluster // _ENTRY))
    l1_clusters = max(1, -(-l1_size * _ENTRY // cluster))
    if l1_size > MAX_L1:
        raise QMPError("The image size is too large (try using a larger cluster size)")
    if 3 + l1_clusters > cluster // _COUNT:
        raise QMPError("a qcow2 image of that size and cluster size is not simulated by qemu-sim")
    head = _V2.pack(
        *(MAGIC, new.version, 0, 0, new.cluster_bits, new.size, 0),
        *(l1_size, 3 * cluster, cluster, 1, 0, 0),
    )
    if new.version > _VERSIONS[0]:
        compatible = LAZY_REFCOUNTS if new.lazy_refcounts else 0
        head += _V3.pack(0, compatible, 0, 4, _V2.size + _V3.size + 8) + bytes(8)
    first = with_backing(
        (head + _EXTENSION.pack(0, 0)).ljust(cluster, b"\0"), new.backing_file, new.backing_format
    )
    table = struct.pack(">Q", 2 * cluster)
    counts = struct.pack(">H", 1) * (3 + l1_clusters)
    parts = b"".join(part.ljust(cluster, b"\0") for part in (first, table, counts))
    return parts + bytes(l1_size * _ENTRY)  # the file ends where the table does


def with_backing(start: bytes, name: str | None, kind: str | None) -> bytes:
    """Return the first cluster `start` with another backing file, or none.

    Extensions other than the backing format are kept. Raises QMPError.
    """
    version, length = struct.unpack_from(">I", start, 4)[0], _V2.size
    if version > _VERSIONS[0]:
        length = struct.unpack_from(">I", start, _V2.size + _V3.size - 4)[0]
    extensions = [each for each in _found(start, length) if each[0] != _BACKING_FORMAT]
    if kind is not None and name is not None:
        extensions.insert(0, (_BACKING_FORMAT, kind.encode()))
    head = start[:length] + b"".join(map(_extension, extensions)) + _EXTENSION.pack(0, 0)
    text = (name or "").encode("utf-8", "surrogateescape")
    place = struct.pack(">QI", len(head) if name else 0, len(text))
    made = head[:8] + place + head[20:] + text
    if len(made) > len(start):
        raise QMPError("Backing file name too long")
    return made.ljust(len(start), b"\0")


def _found(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yield number and data of each header extension; they start at `at`."""
    while at + _EXTENSION.size <= len(data):
        number, length = _EXTENSION.unpack_from(data, at)
        if number == 0:
            return
        at += _EXTENSION.size
        yield number, data[at : at + length]
        at += -(-length // 8) * 8


def _extension(extension: tuple[int, bytes]) -> bytes:
    number, data = extension
    return _EXTENSION.pack(number, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")


def _backing_format(data: bytes, at: int) -> str | None:
    for number, text in _found(data, at):
        if number == _BACKING_FORMAT:
            return text.decode("utf-8", "surrogateescape")
    return None
