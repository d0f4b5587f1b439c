"""The driver file: a regular file, byte for byte.

QEMU: block/file-posix.c
"""

from __future__ import annotations

import errno
import os
from functools import cached_property
from typing import Any

from qemu_sim.block.image_file import open_image, punch, resize
from qemu_sim.block.image_lock import ImageLock
from qemu_sim.block.node import Node
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd

_SECTOR = 512
_FAR = 1 << 63


class DriverFile(Node):
    """A file that is open as long as the node lives."""

    TYPE = "file"
    IS_PROTOCOL = True
    STRONG = ("filename",)
    has_flags = True
    alignment: dict[str, int] = {}  # noqa: RUF012  (never changed)

    _fd: Fd | None = None

    @cached_property
    def discards(self) -> dict[str, int]:
        """How often room was given back, as query-blockstats tells it."""
        return dict.fromkeys(("discard-nb-ok", "discard-nb-failed", "discard-bytes-ok"), 0)

    def open(self) -> None:
        """Open the file, read-only where `auto-read-only` allows it."""
        if self.options.get("aio") in ("native", "io_uring"):
            self._check_aio(self.options["aio"])
        self._fd, self.read_only = open_image(
            self.options["filename"],
            read_only=self.read_only,
            auto_read_only=self.options.get("auto-read-only", False),
        )
        if self.options.get("locking") != "off":
            self.lock = ImageLock(self._fd, self.options["filename"])

    def set_read_only(self, read_only: bool) -> None:
        """Open the file again."""
        if read_only != self.read_only:
            fd, _ = open_image(self.options["filename"], read_only=read_only, auto_read_only=False)
            if self.lock is not None:
                self.lock.move(fd)
            self.fd.close()
            self._fd, self.read_only = fd, read_only

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            self._fd.close()
            self._fd = self.lock = None

    @property
    def fd(self) -> Fd:
        """The open file, which stays the node's."""
        assert self._fd is not None, "node is closed"
        return self._fd

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return os.fstat(self.fd.fileno()).st_size

    def resize(self, size: int) -> None:
        """Truncate or extend the file."""
        try:
            resize(self.fd.fileno(), size)
        except OSError as error:
            raise QMPError(f"Failed to resize the file: {error.strerror}") from None

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the file."""
        return os.pread(self.fd.fileno(), length, offset).ljust(length, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Store bytes in the file."""
        self.note_write(offset + len(data))
        try:
            written = os.pwrite(self.fd.fileno(), data, offset)
        except OSError as error:
            raise QMPError(os.strerror(error.errno or 0)) from None
        if written < len(data):
            raise QMPError("No space left on device")

    def flush(self) -> None:
        """Have the disk take what was written."""
        if not self.no_flush:
            try:
                os.fdatasync(self.fd.fileno())
            except OSError as error:
                raise QMPError(os.strerror(error.errno or 0)) from None

    async def unmap(self, offset: int, length: int) -> None:
        """Make a hole."""
        try:
            punch(self.fd.fileno(), offset, length)
        except OSError as error:
            self.discards["discard-nb-failed"] += 1
            raise QMPError(os.strerror(error.errno or 0)) from None
        self.discards["discard-nb-ok"] += 1
        self.discards["discard-bytes-ok"] += length

    def extent(self, offset: int, length: int) -> tuple[int, bool]:
        """Tell data from holes, as far as the host's file system does."""
        data = self._seek(offset, os.SEEK_DATA)
        if data > offset:
            return min(length, data - offset), True
        return min(length, self._seek(offset, os.SEEK_HOLE) - offset), False

    def _seek(self, offset: int, whence: int) -> int:
        """Return where the next data, or the next hole, begins; far away if there is none."""
        try:
            return os.lseek(self.fd.fileno(), offset, whence)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return _FAR

    def holds(self, offset: int, length: int) -> bool:  # noqa: ARG002  (the same everywhere)
        """There is nothing below."""
        return True

    @property
    def allocated(self) -> int:
        """Bytes taken on the host; holes take none."""
        return os.fstat(self.fd.fileno()).st_blocks * _SECTOR

    @property
    def memory_alignment(self) -> int:
        """A sector where the host's cache is bypassed."""
        return _SECTOR if self.direct else 1

    @property
    def request_alignment(self) -> int:
        """A sector where the host's cache is bypassed."""
        return _SECTOR if self.direct else 1

    @property
    def exact_filename(self) -> str:
        """The path as given."""
        name: str = self.options["filename"]
        return name

    def format_facts(self) -> dict[str, Any]:
        """Nothing but the type: the extent size hint is a matter of some file systems."""
        return {"format-specific": {"type": "file", "data": {}}}

    def _check_aio(self, aio: str) -> None:
        if aio == "native" and not self.direct:
            raise QMPError(
                "aio=native was specified, but it requires cache.direct=on, "
                "which was not specified."
            )
