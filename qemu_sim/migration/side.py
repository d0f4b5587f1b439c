"""What either side of a migration needs of its machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from qemu_sim.clock import Clock
    from qemu_sim.hooks import Hooks
    from qemu_sim.migration.capabilities import Capabilities
    from qemu_sim.migration.dialects.dialect import Dialect
    from qemu_sim.migration.guest_load import GuestLoad
    from qemu_sim.migration.parameters import Parameters
    from qemu_sim.migration.transfer import Transferable
    from qemu_sim.virtio.memory import GuestMemory


class Side(Protocol):
    """The part that does not depend on the direction."""

    @property
    def machine_type(self) -> str:
        """The machine type, versioned."""

    @property
    def uuid(self) -> str | None:
        """The machine's UUID, None for all zeroes."""

    @property
    def capabilities(self) -> Capabilities:
        """What is switched on for its migrations."""

    @property
    def dialect(self) -> Dialect:
        """How its client asks for a backend transfer."""

    @property
    def parameters(self) -> Parameters:
        """How its migrations are done."""

    @property
    def clock(self) -> Clock:
        """The machine's time."""

    @property
    def version(self) -> tuple[int, int, int]:
        """The QEMU version."""

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""

    @property
    def devices(self) -> Sequence[Transferable]:
        """All devices, in order."""

    @property
    def hooks(self) -> Hooks:
        """Points at which the migration may be held or broken."""


class SourceMachine(Side, Protocol):
    """What the source of a migration needs of its machine."""

    @property
    def state_name(self) -> str:
        """The run state, as the destination is to continue in."""

    @property
    def asleep(self) -> bool:
        """Whether it stopped a guest that slept."""

    @property
    def is_running(self) -> bool:
        """Whether the guest runs."""

    @property
    def guest_load(self) -> GuestLoad:
        """What the guest is said to do with its RAM."""

    def migration_passed(self, count: int) -> None:
        """Tell that RAM was gone through for the `count`th time."""

    def request_unplug(self) -> bool:
        """Ask the guest to give back what stays behind; whether there is anything."""

    async def unplug(self) -> None:
        """Wait until the guest has given back what stays behind."""

    def plug_again(self) -> None:
        """Give the guest again what was to stay behind."""

    def stop_for_migration(self) -> None:
        """Halt the guest; the run state becomes finish-migrate."""

    def leave_images(self) -> None:
        """Leave all images to the destination. Raises MigrationError."""


class DestinationMachine(Side, Protocol):
    """What the destination of a migration needs of its machine."""

    @property
    def transfer_by_default(self) -> bool:
        """What `backend-transfer=auto` means for this machine type."""

    @property
    def cpu_count(self) -> int:
        """How many CPUs the guest has."""

    def continue_as(self, run_state: str, *, asleep: bool) -> None:
        """Go on in the source's run state (RESUME when that is running or suspended).

        `asleep`: the guest that is stopped slept before.
        """

    def announce_arrival(self, but: Collection[str]) -> None:
        """Let the NICs tell the network that they are here now, but those at the paths `but`."""

    def bug(self, error: Exception) -> str:
        """Record what nobody foresaw; returns a text for the other side."""


class Migratable(SourceMachine, DestinationMachine, Protocol):
    """What a migration needs of its machine, on either side."""

    @property
    def migration_mode(self) -> str:
        """The parameter `mode`; "normal" where there is none."""

    def resume_after_failure(self, run_state: str) -> None:
        """Go back to `run_state` (RESUME when that is running)."""

    async def run_next(self, command: list[str]) -> None:
        """Become another program, or raise MigrationError in QEMU's words."""

    async def cont(self) -> None:
        """Start the guest."""

    def finish_migration(self) -> None:
        """Become postmigrate: another process runs this machine."""

    def exit(self, status: int) -> None:
        """End the process with `status`."""

    def trace_migration(self, direction: str, what: dict[str, Any], fds: int) -> None:
        """Tell what passed on the channel, and how many descriptors came with it."""

    def migration_moved(self, status: str) -> None:
        """Tell that the status changed."""
