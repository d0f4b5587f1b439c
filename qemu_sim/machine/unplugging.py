"""Devices that leave a machine: at once, or when the guest gives them back.

QEMU: system/qdev-monitor.c (qmp_device_del), hw/acpi/pcihp.c, hw/acpi/cpu.c

PCI devices, CPUs and DIMMs are the guest's to give back. The simulated one does so whenever it
is asked while it runs. One that is stopped does it when it runs again; a reset takes PCI
devices from it, but neither CPUs nor DIMMs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.board import Board
    from qemu_sim.machine.events import Events

_CPUS_LEAVE = (8, 0, 0)  # from 7.2 only when a guest has told its ACPI how


class Unplugging:
    """The requests of one machine that its guest has not answered yet."""

    def __init__(self, board: Board, events: Events) -> None:
        """Nothing is asked for yet."""
        self._board = board
        self._events = events
        self._asked: list[Device] = []

    def request(self, name: str, *, guest_runs: bool) -> None:
        """Unplug the device of that ID or QOM path as soon as possible.

        DEVICE_DELETED follows. Raises QMPError in QEMU's words.
        """
        device = self._board.device(name)
        bus = self._board.buses.of(device)
        if device in self._asked and bus.is_pci:
            raise QMPError(f"Device {name} is already in the process of unplug")
        self._board.buses.check_unplug(device)
        is_cpu = device.cpu_number is not None
        if is_cpu and not guest_runs and self._board.version < _CPUS_LEAVE:
            raise QMPError(
                f"acpi: device unplug request for not supported device type: {device.TYPE}"
            )
        if guest_runs or not (bus.is_pci or bus is self._board.buses.bare):
            self._unplug(device)
        elif device not in self._asked:
            self._asked.append(device)

    def answer(self) -> None:
        """Give back what was asked for, as the guest runs now."""
        while self._asked:
            self._unplug(self._asked.pop(0))

    def reset(self) -> None:
        """Take PCI devices that were asked for from a guest that starts from the beginning."""
        for device in [each for each in self._asked if self._board.buses.of(each).is_pci]:
            self._asked.remove(device)
            self._unplug(device)

    def _unplug(self, device: Device) -> None:
        self._board.delete_device(device.path)
        loop = asyncio.get_running_loop()
        # The reply is sent one turn from now.
        loop.call_soon(loop.call_soon, self._tell, device)

    def _tell(self, device: Device) -> None:
        data = {"path": device.path}
        if device.IS_PROXY:
            self._events.emit("DEVICE_DELETED", {"path": f"{device.path}/virtio-backend"})
        self._events.emit(
            "DEVICE_DELETED", data if device.id is None else {"device": device.id, **data}
        )
