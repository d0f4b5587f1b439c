"""Chardev `serial`: a serial device of the host.

QEMU: chardev/char-serial.c
"""

from __future__ import annotations

import os
import termios

from qemu_sim.backends.chardev import Chardev
from qemu_sim.fds import Fd

_INPUT, _OUTPUT, _CONTROL, _LOCAL, _INPUT_SPEED, _OUTPUT_SPEED = range(6)  # of tcgetattr
_NOT_RAW = (
    (_INPUT, termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP),
    (_INPUT, termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON),
    (_OUTPUT, termios.OPOST),
    (_LOCAL, termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN | termios.ISIG),
    (_CONTROL, termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB),
)


class ChardevSerial(Chardev):
    """`device` is the path; what is no terminal is used as it is."""

    TYPE = "serial"

    _device: Fd | None = None

    @property
    def is_open(self) -> bool:
        """Whether the device is open."""
        return self._device is not None

    async def open(self) -> None:
        """Open the device, at 115200 baud. Raises QMPError in QEMU's words."""
        self._device = self.open_file(self.options["device"], os.O_RDWR | os.O_NONBLOCK)
        if os.isatty(self._device.fileno()):
            self._set_line(self._device)

    def send(self, data: bytes) -> None:
        """Write `data` to the device."""
        assert self._device is not None, "chardev is closed"
        self._write_to(self._device, data)

    def close(self) -> None:
        """Close the device."""
        if self._device is not None:
            self._device.close()
            self._device = None
        super().close()

    def _set_line(self, device: Fd) -> None:
        attributes = termios.tcgetattr(device.fileno())
        for place, flags in _NOT_RAW:
            attributes[place] &= ~flags
        attributes[_CONTROL] |= termios.CS8 | termios.CREAD | termios.CLOCAL
        attributes[_INPUT_SPEED] = attributes[_OUTPUT_SPEED] = termios.B115200
        termios.tcsetattr(device.fileno(), termios.TCSANOW, attributes)
