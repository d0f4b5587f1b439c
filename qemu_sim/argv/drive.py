"""The option -drive.

QEMU: system/vl.c, blockdev.c (qemu_drive_opts)

Its keys are read when the machine is made, as in QEMU.
"""

from __future__ import annotations

from qemu_sim.argv.reading import Reader, Reading, blame
from qemu_sim.machine.configuration import Given
from qemu_sim.qapi.opts import Group

_DRIVE = Group("drive")


def _drive(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        id, values = reading.opts(_DRIVE, source, text)
    given = values if id is None else {**values, "id": id}
    reading.configuration.drives.append(Given(source, given))


READERS: dict[str, Reader] = {"drive": _drive}
