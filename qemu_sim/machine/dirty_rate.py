"""How fast guest memory changes, found out by looking at some of its pages twice.

QEMU: migration/dirtyrate.c

What QEMU's other methods would count is found here in the same way: nothing traps writes.
A guest that is said to dirty memory (`GuestLoad`) changes no page: what it is
said to dirty counts, where that is more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from qemu_sim.clock import MILLISECOND, SECOND, Clock, Timer
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.virtio.memory import GuestMemory

_PAGE = 4096
_MIB = 1 << 20
_SMALLEST = 128 * _MIB  # less RAM than this is not sampled (MIN_RAMBLOCK_SIZE)
_DEFAULT_SAMPLES = 512  # pages in each GiB
_FEWEST, _MOST = 128, 16384
_SAMPLING = "page-sampling"
_BUSY = "the dirty rate is already being measured."


class DirtyRate:
    """The measurement under way, or the last one. Times are in milliseconds."""

    def __init__(
        self,
        memory: Callable[[], GuestMemory | None],
        clock: Clock,
        said: Callable[[GuestMemory, int], int],
    ) -> None:
        """`memory()` is what to look at, None where the machine has none.

        `said(memory, ms)` are the bytes that the guest is said to have dirtied in that time.
        """
        self._memory = memory
        self._clock = clock
        self._said = said
        self._timer: Timer | None = None
        self.status = "unstarted"
        self.mode = _SAMPLING
        self.samples = 0
        self.period = 0
        self.start_time = 0  # seconds since the epoch
        self.rate: int | None = None  # MiB a second, -1 where nothing could be sampled

    def check_idle(self) -> None:
        """Raise QMPError in QEMU's words if a measurement is under way."""
        if self.status == "measuring":
            raise QMPError(_BUSY)

    def start(self, period: int, mode: str, samples: int | None) -> None:
        """Begin to measure. Raises QMPError in QEMU's words."""
        if samples is not None and mode != _SAMPLING:
            raise QMPError("sample-pages is used only in page-sampling mode")
        if samples is not None and not _FEWEST <= samples <= _MOST:
            raise QMPError(f"sample-pages is out of range[{_FEWEST}, {_MOST}].")
        if mode == "dirty-ring":
            raise QMPError(f"mode {mode} is not enabled, use other method instead.")
        self.mode, self.period = mode, period
        self.samples = samples or _DEFAULT_SAMPLES
        self.start_time = self._clock.wall() // SECOND
        self.rate = None
        self._measure()

    def query(self, unit: int) -> dict[str, Any]:
        """Return a DirtyRateInfo without its unit; `unit` is its length in milliseconds."""
        found = {
            "status": self.status,
            "start-time": self.start_time,
            "calc-time": self.period // unit,
            "sample-pages": self.samples,
            "mode": self.mode,
        }
        return found if self.rate is None else found | {"dirty-rate": self.rate}

    def close(self) -> None:
        """Stop measuring."""
        if self._timer is not None:
            self._timer.cancel()

    def _measure(self) -> None:
        memory = self._memory()
        size = 0 if memory is None else memory.size
        if self.mode == _SAMPLING and size < _SMALLEST:
            self._finish(-1)
            return
        self.status = "measuring"
        before = {} if memory is None else _look(memory, self._pages(size))
        when = self._clock.now() + self.period * MILLISECOND
        self._timer = self._clock.call_at(when, partial(self._compare, memory, before))

    def _pages(self, size: int) -> list[int]:
        import random  # noqa: PLC0415 - slow to load

        count = max(1, self.samples * size >> 30)
        return random.sample(range(size // _PAGE), count)

    def _compare(self, memory: GuestMemory | None, before: dict[int, int]) -> None:
        if memory is None or not before:
            self._finish(0)
            return
        changed = sum(checksum != before[page] for page, checksum in _look(memory, before).items())
        seen = memory.size * changed // len(before)
        dirtied = max(seen, self._said(memory, self.period))
        self._finish(dirtied * 1000 // self.period // _MIB)

    def _finish(self, rate: int) -> None:
        self._timer = None
        self.status, self.rate = "measured", rate


def _look(memory: GuestMemory, pages: Iterable[int]) -> dict[int, int]:
    """Return a checksum of each page; reading the file leaves its holes alone."""
    import zlib  # noqa: PLC0415 - no start needs it

    fd = memory.fd.fileno()
    return {page: zlib.crc32(os.pread(fd, _PAGE, page * _PAGE)) for page in pages}
