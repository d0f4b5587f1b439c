"""The inflight area: which chains a server has taken and not returned.

QEMU: docs/interop/vhost-user.rst, "Inflight I/O tracking"

The front end keeps the area while a server is gone, so that the next one can do what
was left. One part a queue, each:

    features u64 | version u16 | descriptors u16 | last batch u16 | used index u16
    then for each descriptor: inflight u8 | 5 unused | next u16 | counter u64
"""

from __future__ import annotations

import mmap
import os
import struct

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd
from qemu_sim.virtio.queue import WRAP
from qemu_sim.wire.vhost_user import Inflight

_HEADER = struct.Struct("=QHHHH")
_ENTRY = struct.Struct("=B5xHQ")
_LAST_BATCH_OFFSET = 12
_USED_OFFSET = 14
_U16 = struct.Struct("=H")
_VERSION = 1
_ALIGN = 64


def create(queues: int, queue_size: int) -> tuple[Inflight, Fd]:
    """Make an area for `queues` queues of `queue_size` descriptors."""
    size = queues * _part_size(queue_size)
    fd = Fd(os.memfd_create("vhost-user-inflight", os.MFD_CLOEXEC))
    os.ftruncate(fd.fileno(), size)
    return Inflight(size, 0, queues, queue_size), fd


class InflightArea:
    """A mapped area."""

    def __init__(self, geometry: Inflight, fd: Fd) -> None:
        """Map `fd`, which stays the caller's. Raises WireError if it is too small."""
        end = geometry.mmap_offset + geometry.mmap_size
        needed = geometry.queues * _part_size(geometry.queue_size)
        if geometry.mmap_size < needed or end > os.fstat(fd.fileno()).st_size:
            raise WireError(f"inflight area of {geometry.mmap_size} bytes, {needed} needed")
        self._geometry = geometry
        self._map = mmap.mmap(fd.fileno(), end)

    def part(self, queue: int) -> InflightPart | None:
        """Return one queue's part, None for a queue it has no room for."""
        if queue >= self._geometry.queues:
            return None
        offset = self._geometry.mmap_offset + queue * _part_size(self._geometry.queue_size)
        return InflightPart(self._map, offset, self._geometry.queue_size)


class InflightPart:
    """One queue's part of an area."""

    def __init__(self, area: mmap.mmap, offset: int, size: int) -> None:
        self._area = area
        self._offset = offset
        self._size = size
        self._counter = 0

    def recover(self, used_index: int) -> list[int]:
        """Return the chains that were taken and not returned, oldest first.

        `used_index` is the used ring's: if it is ahead, the last chain was returned and
        only its mark is left.
        """
        version, _, last, seen = _HEADER.unpack_from(self._area, self._offset)[1:]
        if version == 0:
            header = (0, _VERSION, self._size, 0, used_index)
            _HEADER.pack_into(self._area, self._offset, *header)
            return []
        for _ in range((used_index - seen) % WRAP):
            self._area[self._entry(last)] = 0
            last = _ENTRY.unpack_from(self._area, self._entry(last))[1]
        _U16.pack_into(self._area, self._offset + _USED_OFFSET, used_index)
        entries = [_ENTRY.unpack_from(self._area, self._entry(i)) for i in range(self._size)]
        left = sorted((entry[2], head) for head, entry in enumerate(entries) if entry[0])
        self._counter = left[-1][0] + 1 if left else 0
        return [head for _, head in left]

    def take(self, head: int) -> None:
        """Note that a chain was taken from the ring."""
        _ENTRY.pack_into(self._area, self._entry(head), 1, 0, self._counter)
        self._counter += 1

    def about_to_return(self, head: int) -> None:
        """Note which chain goes into the used ring next."""
        last = _U16.unpack_from(self._area, self._offset + _LAST_BATCH_OFFSET)[0]
        _U16.pack_into(self._area, self._entry(head) + 6, last)
        _U16.pack_into(self._area, self._offset + _LAST_BATCH_OFFSET, head)

    def returned(self, head: int, used_index: int) -> None:
        """Note that it is there."""
        self._area[self._entry(head)] = 0
        _U16.pack_into(self._area, self._offset + _USED_OFFSET, used_index)

    def _entry(self, head: int) -> int:
        if head >= self._size:
            raise WireError(f"descriptor {head} in an inflight area for {self._size}")
        return self._offset + _HEADER.size + head * _ENTRY.size


def _part_size(queue_size: int) -> int:
    return -(-(_HEADER.size + queue_size * _ENTRY.size) // _ALIGN) * _ALIGN
