"""What either side of a migration needs of its machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from qemu_sim.clock import Clock
    from qemu_sim.hooks import Hooks
    from qemu_sim.migration.capabilities import Capabilities
    from qemu_sim.migration.dialects.dialect import Dialect
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
