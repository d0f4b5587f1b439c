"""Reset and shutdown of a machine, and what follows each of them.

QEMU: system/runstate.c (qemu_system_reset_request, main_loop_should_exit),
system/runstate-action.c, qapi/run-state.json

The guest runs no code, but a PC's firmware is felt: when it finds itself started anew
without a power cycle, it resets the machine once more. An older one does so twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from qemu_sim.clock import MILLISECOND, Clock, Timer
from qemu_sim.machine.events import Events
from qemu_sim.machine.execution import Execution

DEFAULT_ACTIONS = {
    "reboot": "reset",
    "shutdown": "poweroff",
    "panic": "shutdown",
    "watchdog": "reset",
}
_SEABIOS_RESETS_ONCE = (8, 0, 0)  # QEMU 7.2 comes with one that does it twice
_FIRMWARE_TIME = 10 * MILLISECOND  # until it has looked
_SYSTEM_RESET = "host-qmp-system-reset"


class Powered(Protocol):
    """What a reset or a shutdown needs of its machine."""

    @property
    def events(self) -> Events:
        """Where RESET and SHUTDOWN are told."""

    @property
    def execution(self) -> Execution:
        """Whether the guest runs."""

    def forget_run(self) -> None:
        """Have a stopped guest start from the beginning."""

    def shut_down(self, reason: str) -> None:
        """End the process in order."""


class Power:
    """`actions` holds what follows "reboot", "shutdown", "panic" and "watchdog"."""

    def __init__(
        self, machine: Powered, actions: Mapping[str, str], firmware_resets: int, clock: Clock
    ) -> None:
        """`firmware_resets`: how often the firmware resets a machine that has run before."""
        self.actions = DEFAULT_ACTIONS | dict(actions)
        self._machine = machine
        self._clock = clock
        self._firmware_resets = firmware_resets
        self._has_run = False
        self._is_warm = False
        self._firmware: Timer | None = None

    def close(self) -> None:
        """Let the firmware do nothing any more."""
        if self._firmware is not None:
            self._firmware.cancel()

    async def reset(self) -> None:
        """Reset the guest (RESET), or do what was asked for instead."""
        machine = self._machine
        if self.actions["reboot"] == "shutdown":
            await self._shut_down(_SYSTEM_RESET)
            return
        machine.events.emit("RESET", {"guest": False, "reason": _SYSTEM_RESET})
        machine.execution.reset()
        self._is_warm = self._has_run
        if machine.execution.is_running:
            self._run_firmware()
        else:
            machine.forget_run()

    def resumed(self) -> None:
        """Take note that the guest runs from now on."""
        self._has_run = True
        self._run_firmware()

    def woken_up(self) -> None:
        """Take note that the firmware finds a guest that slept."""
        self._is_warm = True
        self._run_firmware()

    async def _shut_down(self, reason: str) -> None:
        if self.actions["shutdown"] == "poweroff":
            self._machine.shut_down(reason)
            return
        self._machine.events.emit("SHUTDOWN", {"guest": False, "reason": reason})
        await self._machine.execution.stop("shutdown")

    def _run_firmware(self) -> None:
        """Let the firmware find out that this is no cold start."""
        if self._is_warm and self._firmware_resets:
            when = self._clock.now() + _FIRMWARE_TIME
            self._firmware = self._clock.call_at(when, self._reset_by_guest)

    def _reset_by_guest(self) -> None:
        if not self._is_warm or not self._machine.execution.is_running:
            return
        self._is_warm = False
        for _ in range(self._firmware_resets):
            self._machine.events.emit("RESET", {"guest": True, "reason": "guest-reset"})


def firmware_resets(machine_type: str, version: tuple[int, int, int]) -> int:
    """Return how often a machine's firmware repeats a reset: never where there is no PC."""
    if not machine_type.startswith("pc-"):
        return 0
    return 1 if version >= _SEABIOS_RESETS_ONCE else 2
