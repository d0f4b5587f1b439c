"""Guest RAM as a server sees it: the regions of a memory table, mapped.

QEMU: subprojects/libvhost-user/libvhost-user.c (vu_set_mem_table_exec)
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qemu_sim.errors import WireError

if TYPE_CHECKING:
    from qemu_sim.fds import Fd
    from qemu_sim.wire.vhost_user import Region


class Regions:
    """All of guest RAM. Buffers stay valid as long as somebody holds them."""

    def __init__(self, regions: Sequence[Region] = (), fds: Sequence[Fd] = ()) -> None:
        """Map each region of its descriptor, which stays the caller's.

        Raises WireError for a region that is not in its file.
        """
        self._mapped = [(region, _map(region, fd)) for region, fd in zip(regions, fds, strict=True)]

    def locate(self, address: int, length: int) -> tuple[mmap.mmap, int]:
        """Return the buffer that holds a guest range, and the offset within it.

        Raises IndexError for a range that is not inside one region.
        """
        for region, ram in self._mapped:
            start = address - region.guest
            if start >= 0 and start + length <= region.size:
                return ram, region.offset + start
        raise IndexError(f"no guest RAM for {length} bytes at {address:#x}")

    def guest_address(self, user: int) -> int:
        """Return the guest address of a front-end address. Raises WireError if there is none."""
        for region, _ in self._mapped:
            if 0 <= user - region.user < region.size:
                return user - region.user + region.guest
        raise WireError(f"address {user:#x} is in no memory region")

    def view(self, address: int, length: int) -> memoryview:
        """Return a guest range to read or write in place. Raises WireError outside RAM."""
        try:
            ram, offset = self.locate(address, length)
        except IndexError as error:
            raise WireError(str(error)) from None
        return memoryview(ram)[offset : offset + length]


def _map(region: Region, fd: Fd) -> mmap.mmap:
    size = os.fstat(fd.fileno()).st_size
    end = region.offset + region.size
    if region.size <= 0 or end > size:
        raise WireError(f"memory region up to {end} in a file of {size} bytes")
    try:
        # From the file's start, since an offset may not be a multiple of the page size.
        return mmap.mmap(fd.fileno(), end)
    except OSError as error:
        raise WireError(f"memory region of {end} bytes: {error.strerror}") from None
