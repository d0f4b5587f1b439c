"""What the simulated guest knows of each block of a disk.

A block that was written says who wrote it, in each of its 64-byte records: device ID,
offset, sequence number. What a block held before anybody wrote to it is taken as found
the first time, and compared from then on.

The knowledge lies in guest RAM, as a real guest's would, and travels with it:

    u64 sequence (0: never written) | u64 CRC-32 as found, plus 2^32 (0: never read)
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qemu_sim.virtio.memory import GuestMemory

BLOCK = 4096  # bytes
_RECORD = struct.Struct("=48sQQ")
_KNOWN = struct.Struct("=QQ")
_CRC_SEEN = 1 << 32


class BlockLedger:
    """The ledger of the first `blocks` blocks of one disk."""

    def __init__(self, device: str, memory: GuestMemory, address: int, blocks: int) -> None:
        """Use the table at guest address `address`."""
        self.address = address
        self.blocks = blocks
        self._device = device.encode()
        self._memory = memory

    @classmethod
    def create(cls, device: str, memory: GuestMemory, blocks: int) -> BlockLedger:
        """Make an empty table in guest RAM. Raises QMPError when RAM is full."""
        ledger = cls(device, memory, memory.allocate(blocks * _KNOWN.size), blocks)
        memory.write(ledger.address, bytes(ledger.size))
        return ledger

    @property
    def size(self) -> int:
        """Bytes of the table."""
        return self.blocks * _KNOWN.size

    def content(self, block: int, sequence: int) -> bytes:
        """Return what the guest writes into a block."""
        record = _RECORD.pack(self._device, block * BLOCK, sequence)
        return record * (BLOCK // _RECORD.size)

    def wrote(self, block: int, sequence: int) -> None:
        """Note a write that has finished."""
        self._store(block, sequence, 0)

    def forget(self, block: int) -> None:
        """Expect nothing any more: a write failed somewhere on its way."""
        self._store(block, 0, 0)

    def check(self, block: int, data: bytes) -> str | None:
        """Compare what was read with what is known; returns what is wrong."""
        known = self._memory.read(self.address + block * _KNOWN.size, _KNOWN.size)
        sequence, as_found = _KNOWN.unpack(known)
        if sequence:
            if data != self.content(block, sequence):
                return f"block {block} is not what was written as number {sequence}"
            return None
        digest = zlib.crc32(data) | _CRC_SEEN
        if not as_found:
            self._store(block, 0, digest)
        elif as_found != digest:
            return f"block {block} has changed though nobody wrote to it"
        return None

    def _store(self, block: int, sequence: int, as_found: int) -> None:
        known = _KNOWN.pack(sequence, as_found)
        self._memory.write(self.address + block * _KNOWN.size, known)
