"""A raw image behind virtio-blk rings.

VIRTIO 1.2, 5.2 "Block Device"; QEMU: block/export/virtio-blk-handler.c

Requests are done one after the other, straight between the page cache and guest RAM:
no data passes through this program's own memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qemu_sim.errors import WireError

if TYPE_CHECKING:
    from qemu_sim.fds import Fd
    from qemu_sim.vhost_user_blk.regions import Regions
    from qemu_sim.vhost_user_blk.vring import Vring
    from qemu_sim.virtio.device_queue import Chain

_F_SEG_MAX = 1 << 2
_F_BLK_SIZE = 1 << 6
_F_FLUSH = 1 << 9
_F_MQ = 1 << 12
_F_VERSION_1 = 1 << 32
_QUEUES = 16
_SEGMENTS = 126  # of a ring of 128: header and status take the other two
_SECTOR = 512
# The members up to num_queues; what follows are limits of requests that are not offered.
# Together 60 bytes, as QEMU asks for.
_CONFIG = struct.Struct("<QIIHBBIBBHIBBH24x")
_HEADER = struct.Struct("=IIQ")
_READ, _WRITE, _FLUSH, _GET_ID = 0, 1, 4, 8
_OK, _IO_ERROR, _UNSUPPORTED = 0, 1, 2
_ID = b"qemu-sim".ljust(20, b"\0")


class RawImage:
    """One image, open for reading and writing. Its size is taken once, in whole sectors."""

    features = _F_SEG_MAX | _F_BLK_SIZE | _F_FLUSH | _F_MQ | _F_VERSION_1
    queues = _QUEUES

    def __init__(self, image: Fd) -> None:
        """Serve `image`, which stays the caller's."""
        self._image = image
        self._size = os.lseek(image.fileno(), 0, os.SEEK_END) // _SECTOR * _SECTOR

    @property
    def config(self) -> bytes:
        """The configuration space, 60 bytes."""
        sectors = self._size // _SECTOR
        return _CONFIG.pack(sectors, 0, _SEGMENTS, 0, 0, 0, _SECTOR, 0, 0, 0, 0, 0, 0, self.queues)

    def kicked(self, index: int, vrings: Sequence[Vring]) -> None:
        """Do all requests of a ring. Raises WireError on a broken one."""
        vring = vrings[index]
        # While we look at the ring anyway, kicks are only work for both sides.
        vring.suppress_kicks(True)
        self._drain(vring)
        vring.suppress_kicks(False)
        self._drain(vring)

    def _drain(self, vring: Vring) -> None:
        regions = vring.regions
        assert regions is not None
        done = 0
        while (chain := vring.pop()) is not None:
            vring.push(chain, self._request(chain, regions))
            done += 1
        if done:
            vring.call()

    def _request(self, chain: Chain, regions: Regions) -> int:
        """Do one request; returns how many bytes were written to the guest."""
        header, output = _split_header(chain.readable, regions)
        kind, _, sector = _HEADER.unpack(header)
        if not chain.writable or not chain.writable[-1][1]:
            raise WireError("virtio-blk request without room for its status")
        *middle, (address, length) = chain.writable
        if length > 1:
            middle.append((address, length - 1))
        inputs = [regions.view(*buffer) for buffer in middle]
        status, written = self._perform(kind, sector * _SECTOR, output, inputs)
        regions.view(address + length - 1, 1)[0] = status
        return written + 1

    def _perform(
        self, kind: int, offset: int, output: list[memoryview], inputs: list[memoryview]
    ) -> tuple[int, int]:
        """Return the status, and how many bytes went into `inputs`."""
        try:
            if kind == _READ and self._holds(offset, inputs):
                return _OK, os.preadv(self._image.fileno(), inputs, offset)
            if kind == _WRITE and self._holds(offset, output):
                os.pwritev(self._image.fileno(), output, offset)
                return _OK, 0
            if kind == _FLUSH:
                os.fdatasync(self._image.fileno())
                return _OK, 0
            if kind == _GET_ID and inputs and len(inputs[0]) >= len(_ID):
                inputs[0][: len(_ID)] = _ID
                return _OK, len(_ID)
        except OSError:  # the guest learns it as an I/O error, as from any disk
            return _IO_ERROR, 0
        known = kind in (_READ, _WRITE, _GET_ID)
        return (_IO_ERROR if known else _UNSUPPORTED), 0

    def _holds(self, offset: int, buffers: list[memoryview]) -> bool:
        length = sum(map(len, buffers))
        return length > 0 and length % _SECTOR == 0 and offset + length <= self._size


def _split_header(
    readable: list[tuple[int, int]], regions: Regions
) -> tuple[bytes, list[memoryview]]:
    """Return the request header, and the data that follows it."""
    header = b""
    views = [regions.view(*buffer) for buffer in readable]
    while views and len(header) < _HEADER.size:
        missing = _HEADER.size - len(header)
        header += bytes(views[0][:missing])
        views[0] = views[0][missing:]
        if not views[0]:
            views.pop(0)
    if len(header) < _HEADER.size:
        raise WireError(f"virtio-blk request with a header of {len(header)} bytes")
    return header, views
