"""Whether the guest runs: start and stop, sleep and reset.

QEMU: system/cpus.c (vm_start, vm_stop), system/runstate.c (qemu_system_suspend_request)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError
from qemu_sim.machine.runstate import LIVE

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.events import Events
    from qemu_sim.machine.runstate import RunState


class Execution:
    """Lets the guest behind `devices` run, and moves `run_state` with it."""

    def __init__(self, run_state: RunState, events: Events, devices: list[Device]) -> None:
        """`devices` is the machine's own list, which changes."""
        self._run_state = run_state
        self.events = events
        self._devices = devices
        self.resumed: Callable[[], None] = _nothing
        """Told that the guest runs from now on; set by who wants to know, as the next."""
        self.woken_up: Callable[[], None] = _nothing
        self.asleep = False
        """Of a guest that is stopped: whether it slept before."""
        self.found: tuple[Device, ...] | None = None
        """The devices that the firmware found; None until it has run since the last reset."""

    @property
    def is_running(self) -> bool:
        """Whether the guest runs."""
        return self._run_state.running

    @property
    def is_live(self) -> bool:
        """Whether the guest is not stopped."""
        return self._run_state.live

    def may_start(self) -> bool:
        """Whether `start` does anything. Raises QMPError in QEMU's words where it must not."""
        state = self._run_state
        if state.value == "inmigrate" or state.live:
            return False
        if state.value == "finish-migrate":
            raise QMPError("Migration is not finalized yet")
        if state.value in ("shutdown", "internal-error"):
            raise QMPError("Resetting the Virtual Machine is required")
        return True

    async def start(self) -> None:
        """Start the guest (RESUME). Raises QMPError in QEMU's words."""
        if not self.may_start():
            return
        for device in self._devices:
            await device.restart()
        self._resume()

    async def stop(self, run_state: str = "paused") -> None:
        """Stop the guest (STOP) in that run state; nothing happens when it does not run."""
        if not self._run_state.live:
            return
        self.halt(run_state)
        for device in self._devices:
            await device.drain()

    def halt(self, run_state: str) -> None:
        """Stop the guest (STOP) and leave undone what its devices have not finished."""
        was_live = self._run_state.live
        if was_live:
            self.asleep = self._run_state.value == "suspended"
        for device in self._devices:
            device.halt()
        self._run_state.move(run_state)
        if was_live:
            self.events.emit("STOP")

    def go_back_to(self, run_state: str) -> None:
        """Be in `run_state` again after a `halt` (RESUME when that is running or suspended)."""
        if run_state in LIVE:
            self._resume()
        else:
            self._run_state.move(run_state)

    def suspend(self) -> None:
        """Sleep, as the guest asks for, until it is woken up (SUSPEND)."""
        for device in self._devices:
            device.halt()
        self._run_state.move("suspended")
        self.events.emit("SUSPEND")

    def wake_up(self) -> None:
        """Wake a guest that sleeps: its firmware starts it anew (WAKEUP). Raises QMPError."""
        if self._run_state.value != "suspended":
            raise QMPError("Unable to wake up: guest is not in suspended state")
        self.reset()
        self._run()
        self.events.emit("WAKEUP")
        self.woken_up()

    def reset(self) -> None:
        """Have the guest start from the beginning, if it runs, or once it does."""
        self.asleep = False
        self.found = tuple(self._devices) if self.is_running else None
        for device in self._devices:
            device.reset()

    def _resume(self) -> None:
        if self.asleep:
            self._run_state.move("suspended")
            self.events.emit("RESUME")
            return
        self._run()
        self.events.emit("RESUME")
        self.resumed()

    def _run(self) -> None:
        self._run_state.move("running")
        if self.found is None:
            self.found = tuple(self._devices)
        for device in self._devices:
            device.run()


def _nothing() -> None:
    """Nobody wants to know."""
