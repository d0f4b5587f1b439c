"""One entry of a qcow2 image's L1 or L2 table: where a cluster is, and whose.

QEMU: docs/interop/qcow2.rst (L1 table entry, L2 table entry), block/qcow2-threads.c
"""

from __future__ import annotations

import zlib

from qemu_sim.errors import QMPError

COPIED = 1 << 63
COMPRESSED = 1 << 62
ZERO = 1
OFFSET = ((1 << 56) - 1) & ~((1 << 9) - 1)
SIZE = 8  # bytes
_SECTOR = 512
_WINDOW = -12  # bits of zlib's, without a header


def is_own(entry: int) -> bool:
    """Whether the cluster that it leads to may be written to: nothing else leads there."""
    return bool(entry & COPIED and entry & OFFSET)


def compressed(entry: int, cluster_bits: int) -> tuple[int, int]:
    """Return where in the file a compressed cluster's data is, and its bytes at most."""
    width = 62 - (cluster_bits - 8)
    offset = entry & ((1 << width) - 1)
    sectors = (entry >> width & ((1 << (cluster_bits - 8)) - 1)) + 1
    return offset, sectors * _SECTOR - offset % _SECTOR


def clusters(entry: int, cluster_bits: int) -> range:
    """Return the numbers of the file's clusters that an L2 entry leads to."""
    if entry & COMPRESSED:
        offset, length = compressed(entry, cluster_bits)
        return range(offset >> cluster_bits, (offset + length - 1 >> cluster_bits) + 1)
    first = (entry & OFFSET) >> cluster_bits
    return range(first, first + 1) if first else range(0)


def inflate(data: bytes, size: int) -> bytes:
    """Return the `size` bytes of a compressed cluster. Raises QMPError where it is broken."""
    try:
        found = zlib.decompressobj(_WINDOW).decompress(data, size)
    except zlib.error as error:
        raise QMPError(f"a compressed qcow2 cluster is broken: {error}") from None
    if len(found) < size:
        raise QMPError(f"a compressed qcow2 cluster has {len(found)} bytes of {size}")
    return found
