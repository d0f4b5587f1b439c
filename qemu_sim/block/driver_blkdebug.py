"""The driver blkdebug: rules that would make I/O fail. Without guest I/O they never strike.

QEMU: block/blkdebug.c

The rules' file is read when the node is opened. A FIFO blocks the command until somebody
has opened it for writing and closed it again; clients are read from meanwhile.
"""

from __future__ import annotations

import os
import stat

from qemu_sim.block.node import Node
from qemu_sim.block.permissions import Claim, named
from qemu_sim.block.rules import check_rules
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.host_path import host_path
from qemu_sim.io.readable import readable

_READ_SIZE = 65536


class DriverBlkdebug(Node):
    """Shows its child's data."""

    TYPE = "blkdebug"
    CHILD = "image"
    IS_FILTER = True
    IS_PROTOCOL = True
    STRONG = (
        *("config", "align", "max-transfer", "opt-write-zero", "max-write-zero"),
        *("opt-discard", "max-discard", "inject-error", "set-state"),
        *("take-child-perms", "unshare-child-perms"),
    )
    allocated = None
    has_flags = False

    async def prepare(self) -> None:
        """Read the rules."""
        path = self.options.get("config")
        if path is not None:
            check_rules((await _read(path)).decode("utf-8", "replace"))

    def claim_on(self, role: str, asked: Claim) -> Claim:  # noqa: ARG002  (there is but one)
        """Ask for more, and share less, as the options say."""
        takes, unshares = (
            named(self.options.get(key, [])) for key in ("take-child-perms", "unshare-child-perms")
        )
        return Claim(asked.needs | takes, asked.shares & ~unshares)

    @property
    def exact_filename(self) -> str:
        """`blkdebug:RULES:IMAGE` where there is nothing but a file of rules."""
        below = self.child.exact_filename
        plain = set(self._strong()) == {"config"} and bool(below)
        return f"blkdebug:{self.options['config']}:{below}" if plain else ""

    def resize(self, size: int) -> None:
        """Resize the node below."""
        self.child.resize(size)


async def _read(path: str) -> bytes:
    """Return all that the file holds, a FIFO's too. Raises QMPError in QEMU's words."""
    try:
        fd = Fd(os.open(host_path(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        raise QMPError(f"Could not open '{path}': {error.strerror}") from None
    with fd:
        pieces: list[bytes] = []
        is_fifo = stat.S_ISFIFO(os.fstat(fd.fileno()).st_mode)
        while not pieces or pieces[-1]:
            if is_fifo:
                await readable(fd.fileno())  # before the first writer there is neither data nor end
            try:
                pieces.append(os.read(fd.fileno(), _READ_SIZE))
            except OSError as error:
                raise QMPError(f"Cannot read config file: {error.strerror}") from None
        return b"".join(pieces)
