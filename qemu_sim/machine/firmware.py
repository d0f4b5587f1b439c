"""What a PC does before an operating system runs: find a disk to boot from.

QEMU: pc-bios/bios-256k.bin (SeaBIOS, src/boot.c)

A disk is booted from if the simulated guest knows the program in its boot sector, and no
other disk was before it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qemu_sim.backends.chardev import Chardev
    from qemu_sim.block.node import Node
    from qemu_sim.guest.page_writer import Hardware, PageWriter

_SECTOR = 512
_SIGNATURE = b"\x55\xaa"
_log = logging.getLogger(__name__)


class Firmware:
    """The firmware of one machine, and what it lets a program reach."""

    def __init__(
        self, machine: Hardware, serial: Chardev | None, suspend: Callable[[], None]
    ) -> None:
        """`serial` is what the first serial port leads to; `suspend` has the guest sleep."""
        self.memory = machine.memory
        self.clock = machine.clock
        self.guest_load = machine.guest_load
        self.suspend = suspend
        self._machine = machine
        self._serial = serial

    @property
    def throttle(self) -> int:
        """How much of its time is taken from the guest, in percent."""
        return self._machine.throttle

    def boot(self, node: Node) -> PageWriter | None:
        """Return the program of a disk that holds `node`; None if it is left alone."""
        sector = node.read(0, _SECTOR)
        if not sector.endswith(_SIGNATURE):
            return None
        from qemu_sim.guest import boot_sector, page_writer  # noqa: PLC0415 - few disks need it

        code = boot_sector.recognise(sector)
        if code is None:
            return None
        try:
            return page_writer.PageWriter(code, self)
        except MigrationError as error:
            _log.warning("not booted from '%s': %s", node.name, error)
            return None

    def resume(self, state: dict[str, Any]) -> PageWriter:
        """Go on with a program that was saved elsewhere. Raises MigrationError."""
        from qemu_sim.guest.page_writer import PageWriter  # noqa: PLC0415 - few machines run it

        return PageWriter.load(self, state)

    def say(self, data: bytes) -> None:
        """Put `data` on the serial port."""
        if self._serial is not None:
            self._serial.write(data)
