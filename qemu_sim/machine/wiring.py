"""What the parts of a machine ask it for, each looked for when it is first wanted.

QEMU: hw/core/machine.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qemu_sim.backends.netdev import Netdev
    from qemu_sim.machine.failover import Failover
    from qemu_sim.machine.firmware import Firmware
    from qemu_sim.machine.machine import Machine
    from qemu_sim.virtio.memory import GuestMemory


class Wiring:
    """Leads from the parts of `machine` back to it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def connect(self) -> None:
        """Let the board's parts know whom to ask."""
        machine, board = self._machine, self._machine.board
        board.chardevs.open_file = machine.fdsets.open
        board.netdevs.emit = machine.events.emit
        board.netdevs.opens_late = self._opens_late
        board.make_firmware = self._make_firmware
        board.make_failover = self._make_failover
        board.find_cpu_slot = self._find_cpu_slot
        board.find_memory_slot = self._find_memory_slot

    def check_properties(self, kind: str, given: dict[str, Any], typed: bool) -> dict[str, Any]:
        """Return a device's properties, typed, with their defaults. Raises QMPError."""
        # Only machines with devices need these.
        from qemu_sim.machine.global_properties import GlobalProperties  # noqa: PLC0415
        from qemu_sim.qapi.device_properties import parse_device_properties  # noqa: PLC0415

        machine, options = self._machine, self._machine.options
        dialect = options.added_dialect
        defaults = {} if machine.transfer_by_default else machine.dialect.old_defaults(kind)
        defaults |= GlobalProperties(machine.profile, options.globals, dialect).of(kind)
        return defaults | parse_device_properties(
            machine.profile, kind, given, typed=typed, dialect=dialect
        )

    def announce(self, names: list[str] | None) -> None:
        """Have NICs announce the guest, all if none are named."""
        from qemu_sim.machine import nics  # noqa: PLC0415 - the NIC's type costs start-up time

        nics.announce(self._machine.board, names)

    def sampled_memory(self) -> GuestMemory | None:
        """Return the RAM whose dirty rate is measured."""
        return None if self._machine.machine_type == "none" else self._machine.memory

    def said_to_dirty(self, memory: GuestMemory, milliseconds: int) -> int:
        """Return how many bytes the guest is said to dirty in that time."""
        machine = self._machine
        its_share = milliseconds * (100 - machine.throttle) // 100
        return machine.guest_load.dirtied(memory, its_share) if machine.is_running else 0

    def _opens_late(self, netdev: Netdev) -> bool:
        return self._machine.dialect.opens_late(netdev)

    def _find_cpu_slot(self, kind: str, properties: Mapping[str, Any]) -> int:
        from qemu_sim.machine.cpu_properties import cpu_type  # noqa: PLC0415 - not at a start

        machine = self._machine
        if not machine.profile.machines[machine.machine_type]["hotpluggable-cpus"]:
            raise QMPError(f"Device '{kind}' can not be hotplugged on this machine")
        return machine.cpus.find_slot(kind, cpu_type(machine), properties)

    def _find_memory_slot(self, size: int, properties: Mapping[str, Any]) -> tuple[int, int]:
        from qemu_sim.machine import memory_slots  # noqa: PLC0415 - few machines have a DIMM

        return memory_slots.find(self._machine, size, properties)

    def _make_firmware(self) -> Firmware:
        from qemu_sim.machine.firmware import Firmware  # noqa: PLC0415 - only disks need it

        machine = self._machine
        return Firmware(machine, machine.board.chardevs.serial, machine.execution.suspend)

    def _make_failover(self) -> Failover:
        from qemu_sim.machine.failover import Failover  # noqa: PLC0415 - few NICs are paired

        return Failover(self._machine)
