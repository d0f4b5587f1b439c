"""Chardev `parallel`: a parallel port of the host.

QEMU: chardev/char-parallel.c
"""

from __future__ import annotations

import fcntl
import os

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd

_PPCLAIM = 0x708B  # Linux include/uapi/linux/ppdev.h


class ChardevParallel(Chardev):
    """`device` is the path; the port is claimed, and no front end here drives it."""

    TYPE = "parallel"

    _port: Fd | None = None

    @property
    def is_open(self) -> bool:
        """Whether the port is claimed."""
        return self._port is not None

    async def open(self) -> None:
        """Claim the port. Raises QMPError in QEMU's words."""
        port = self.open_file(self.options["device"], os.O_RDWR)
        try:
            fcntl.ioctl(port.fileno(), _PPCLAIM)
        except OSError as error:
            port.close()
            raise QMPError(f"not a parallel port: {error.strerror}") from None
        self._port = port

    def close(self) -> None:
        """Give the port back."""
        if self._port is not None:
            self._port.close()
            self._port = None
        super().close()
