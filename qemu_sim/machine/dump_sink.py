"""Where a dump goes: a file, in which holes stay holes, or a pipe that somebody reads.

QEMU: dump/dump.c (fd_write_vmcore)
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Self

from qemu_sim.io.pipe import PipeChannel

if TYPE_CHECKING:
    from qemu_sim.fds import Fd

_ZEROS = bytes(1 << 20)


class DumpSink:
    """Writes to `fd`, and owns it; a context manager."""

    def __init__(self, fd: Fd) -> None:
        self._is_file = stat.S_ISREG(os.fstat(fd.fileno()).st_mode)
        self._fd = fd
        self._pipe = None if self._is_file else PipeChannel(None, fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pipe is None:
            self._fd.close()
        else:
            self._pipe.close()

    async def write(self, data: bytes) -> None:
        """Write `data`. Raises OSError."""
        if self._pipe is not None:
            self._pipe.send(data)
            await self._pipe.drain()
            return
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd.fileno(), view) :]

    async def skip(self, length: int) -> None:
        """Write zeros, before more data. Raises OSError."""
        if self._pipe is None:
            os.lseek(self._fd.fileno(), length, os.SEEK_CUR)
            return
        for at in range(0, length, len(_ZEROS)):
            await self.write(_ZEROS[: min(len(_ZEROS), length - at)])
