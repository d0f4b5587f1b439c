"""Answers that hold for a machine on which such a thing is not plugged in.

QEMU: qapi/pci.json, qapi/virtio.json, qapi/misc-i386.json, qapi/char.json, qapi/ui.json

What the answer would be otherwise is not simulated, and said to be so.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_NEWER = (8, 0, 0)  # than 7.2
_RAM_BLOCKS = (
    "              Block Name    PSize              Offset               Used              Total"
)


@command("x-query-ramblock")
def x_query_ramblock(machine: Machine) -> dict[str, str]:
    """Return a table without a line for a machine without RAM."""
    if machine.machine_type != "none" or machine.board.objects:
        raise QMPError("not simulated by qemu-sim: x-query-ramblock with RAM")
    more = "                HVA  RO" if machine.profile.version >= _NEWER else ""
    return {"human-readable-text": f"{_RAM_BLOCKS}{more}\n"}


@command("rtc-reset-reinjection")
def rtc_reset_reinjection(machine: Machine) -> None:
    """Forget interrupts of a clock that has lost none. Without a clock a newer QEMU crashes."""
    if machine.machine_type == "none" and machine.profile.version >= _NEWER:
        raise QMPError("not simulated by qemu-sim: rtc-reset-reinjection without a clock")


@command("chardev-send-break")
def chardev_send_break(machine: Machine, *, id: str) -> None:
    """Send a break, which nothing behind a chardev here notices."""
    if id not in machine.board.chardevs:
        raise QMPError(f"Chardev '{id}' not found")


@command("xen-save-devices-state")
async def xen_save_devices_state(machine: Machine, *, filename: str, live: bool = True) -> None:
    """Stop and go on, as QEMU does when it cannot write; what it would write is not known."""
    del live
    was_running = machine.is_running
    await machine.execution.stop()
    try:
        _refuse_to_write(machine, filename)
    finally:
        if was_running:
            await machine.cont()


def _refuse_to_write(machine: Machine, filename: str) -> None:
    directory = os.path.dirname(filename) or "."
    if not os.path.isdir(directory):
        if machine.profile.version >= _NEWER:
            raise QMPError(f"Could not create '{filename}': No such file or directory")
        raise QMPError(f"Unable to open {filename}: No such file or directory")
    raise QMPError("not simulated by qemu-sim: xen-save-devices-state")
