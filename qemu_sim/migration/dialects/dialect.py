"""A way to ask for a backend transfer, as it was proposed for QEMU, or as it is ours.

`devices` is ours: the two ends negotiate, and commit (transfer.py has the rule). The others
were posted to qemu-devel or are queued for a QEMU to come. In them nothing is negotiated.
Each end decides from its own settings which TAPs are in the stream, and reads or writes
accordingly. If the settings differ, the stream is misread: descriptors arrive that nobody
claims, or are looked for in vain.

What these guarantee, as in QEMU: the source is completed when it has written the last byte
(with the capability return-path: when the destination has loaded it). Nothing is committed
or closed. The source stands still in postmigrate with its TAPs open, reads nothing, and
`cont` lets it go on whatever the destination does. So it may go on only where the
destination never started, and it is up to the manager that there is one owner.

A destination that waits for a stream opens a TAP late only if it may arrive there: one
with a definite ifname, no scripts, and no descriptors of its own. Other TAPs are opened
when they are made, and cannot receive anything then.

Only TAPs behind virtio-net travel in upstream's dialects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    from qemu_sim.fds import Fd, TaggedFd
    from qemu_sim.migration.capabilities import Capabilities
    from qemu_sim.migration.parameters import Parameters
    from qemu_sim.migration.transfer import Plan, Transferable

_TAP = "tap"


class Netdev(Protocol):
    """A netdev; the methods from `quiesce` on are called for a TAP alone."""

    id: str
    options: dict[str, Any]
    queues: int

    @property
    def TYPE(self) -> str:  # noqa: N802  (a class constant in every implementation)
        """Its QAPI type."""

    @property
    def is_open(self) -> bool:
        """Whether the host's resources are taken."""

    def transfer_blocker(self) -> str | None:
        """Why it cannot travel. Not open: why it cannot arrive."""

    def quiesce(self) -> None:
        """Leave the descriptors alone. Raises MigrationError if impossible."""

    def unquiesce(self) -> None:
        """Undo `quiesce`."""

    def hand_over(self) -> tuple[dict[str, Any], list[TaggedFd]]:
        """Return the state and the descriptors."""

    def adopt_unchecked(self, queues: list[Fd], *, header_length: int, enabled: int) -> None:
        """Own `queues` without a check, the first `enabled` of them in use."""

    def activate(self) -> None:
        """Use what was received."""

    def disown(self) -> None:
        """Close what was received."""


class Found(NamedTuple):
    """An object of the machine: its canonical QOM path, its type, whether it is a device."""

    path: str
    kind: str
    is_device: bool


class Settings(Protocol):
    """What a dialect asks of its machine."""

    @property
    def parameters(self) -> Parameters:
        """The migration parameters."""

    @property
    def capabilities(self) -> Capabilities:
        """The migration capabilities."""

    @property
    def devices(self) -> Sequence[Transferable]:
        """All devices, in order."""

    @property
    def netdevs(self) -> Mapping[str, Netdev]:
        """All netdevs by ID."""

    @property
    def transfer_by_default(self) -> bool:
        """Whether the machine type is one of the newest, or unversioned.

        The profile's newest stand for the first that has a dialect's property switched on.
        """

    def find_object(self, path: str) -> Found | None:
        """Return the object at a QOM path, which starts at the devices' IDs or at the root."""


class Dialect:
    """One dialect of one machine. What stands here asks for nothing."""

    TYPE: ClassVar[str]
    PARAMETERS: ClassVar[dict[str, Any]] = {}
    """More migration parameters and their defaults; an empty list is not shown."""
    CAPABILITIES: ClassVar[tuple[str, ...]] = ()
    """More migration capabilities."""
    NEGOTIATES: ClassVar[bool] = False
    """Whether the two ends agree on each migration, so that a destination opens nothing early."""
    OWN_SECTION: ClassVar[bool] = False
    """Whether a TAP has a section of its own in the stream, and not a part of its NIC's."""
    HAS_TUNNEL: ClassVar[bool] = True
    """Whether a queue's state tells of UDP tunnel offloads."""

    def __init__(self, machine: Settings) -> None:
        self._machine = machine

    def check_parameters(self, wanted: dict[str, Any]) -> None:
        """Raise QMPError for values that make no sense; `wanted` is all there would be."""

    def check_channel(self, *, is_unix: bool) -> None:
        """Raise QMPError, on either side, if the channel cannot carry what is asked for."""

    def old_defaults(self, kind: str) -> dict[str, Any]:  # noqa: ARG002 - most have none
        """Return what an older machine type sets on devices of a type."""
        return {}

    def plan(
        self,
        *,
        transfer: bool,  # noqa: ARG002 - the arguments are those of one dialect
        names: Sequence[str] | None,  # noqa: ARG002
    ) -> Plan | None:
        """Return what to negotiate for a `migrate` with these arguments, None for nothing."""
        return None

    def support(self) -> list[dict[str, Any]]:
        """Return what the dialect's own command lists, where it has one."""
        return []

    def opens_late(self, netdev: Netdev) -> bool:
        """Whether a destination leaves a new netdev unopened for now."""
        return netdev.TYPE != _TAP or self.may_arrive(netdev)

    def stays_closed(self, device: Transferable) -> bool:
        """Whether a destination that listens leaves a device's TAP for the stream to bring."""
        tap = self.tap(device)
        return tap is not None and not tap.is_open and self.is_asked_for(device, tap)

    async def open_early(self) -> None:
        """Open, on a destination that starts to listen, each TAP that does not stay closed.

        Raises QMPError in QEMU's words.
        """
        for device in self._machine.devices:
            if self.tap(device) is not None and not self.stays_closed(device):
                await device.open()

    def includes(self, device: Transferable) -> bool:
        """Whether the TAP behind a device is in the stream, as far as this end knows."""
        tap = self.tap(device)
        return tap is not None and self.is_asked_for(device, tap)

    def is_asked_for(self, device: Transferable, tap: Netdev) -> bool:  # noqa: ARG002 - by default
        """Whether this end's settings ask for the TAP behind `device`."""
        return False

    def may_arrive(self, tap: Netdev) -> bool:
        """Whether a TAP is of the kind that may be received instead of opened."""
        return not tap.is_open and tap.transfer_blocker() is None

    def tap(self, device: Transferable) -> Netdev | None:
        """Return the TAP behind a NIC; None for anything else."""
        netdev = self._machine.netdevs.get(device.properties.get("netdev", ""))
        return netdev if netdev is not None and netdev.TYPE == _TAP else None
