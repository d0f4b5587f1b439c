"""A device the guest sees, and the backend behind it.

QEMU: hw/core/qdev.c

A device's life: made (properties checked), `open` (its backend takes host descriptors,
unless it waits for an incoming hand-over), `run` and `halt` as the machine starts and
stops, `close`. `halt` and `run` touch no descriptor of the host beyond reading and
writing data: a server behind the device learns nothing. `drain` and `restart` are the
ordinary stop of a vhost ring, which the server does learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.backends.chardev import Chardev
    from qemu_sim.backends.memory_backend import MemoryBackend
    from qemu_sim.backends.netdev import Netdev
    from qemu_sim.backends.object import Object
    from qemu_sim.block.drive import Drive, Use
    from qemu_sim.machine.failover import Failover
    from qemu_sim.machine.firmware import Firmware
    from qemu_sim.migration.transfer import Backend
    from qemu_sim.virtio.memory import GuestMemory

_MANY = 256 * 16384  # targets and their units; hw/scsi/virtio-scsi.c


class Parts(Protocol):
    """What a device may ask of its machine while it is made."""

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM; its descriptor may be replaced until the device is opened."""

    @property
    def guest_addresses(self) -> tuple[frozenset[str], frozenset[str]]:
        """IPv4 and IPv6 addresses the guest answers for; an empty set means any."""

    @property
    def firmware(self) -> Firmware:
        """What boots from a disk."""

    @property
    def failover(self) -> Failover:
        """Which NIC stands in for which."""

    @property
    def version(self) -> tuple[int, int, int]:
        """The QEMU's."""

    @property
    def came_by_migration(self) -> bool:
        """Whether the machine was booted elsewhere, if at all."""

    def claim_netdev(self, device_type: str, id: str) -> Netdev:
        """Return the netdev `id` for one NIC. Raises QMPError in QEMU's words."""

    def claim_chardev(self, device_type: str, id: str) -> Chardev:
        """Return the chardev `id` for one front end. Raises QMPError in QEMU's words."""

    def linked(self, name: str, kind: str, id: str) -> Object:
        """Return the object `id`, of type `kind`, that the property `name` means."""

    @property
    def has_nvdimms(self) -> bool:
        """Whether the machine takes NVDIMMs."""

    def find_cpu_slot(self, kind: str, properties: Mapping[str, Any]) -> int:
        """Return the number of a free CPU. Raises QMPError in QEMU's words."""

    def find_memory_slot(self, size: int, properties: Mapping[str, Any]) -> tuple[int, int]:
        """Return address and slot for that much memory. Raises QMPError in QEMU's words."""

    def lead_serial(self, chardev: Chardev) -> None:
        """Have the simulated guest's first serial port lead there, unless it has one."""

    def claim_memory(self, name: str, id: str) -> MemoryBackend:
        """Return the memory backend `id` for the property `name`. Raises QMPError."""

    def claim_drive(self, property_name: str, name: str | None, path: str, use: Use) -> Drive:
        """Return the drive for a device that QEMU calls `path`; see Drives.attach."""

    def release_drive(self, drive: Drive) -> None:
        """Take back what `claim_drive` gave."""

    def has_type(self, kind: str) -> bool:
        """Whether there is a device of that type."""

    def next_mac(self) -> str:
        """Return the MAC address of the next NIC that names none."""


class Device:
    """One device. Subclasses are found by their TYPE (file name = QMP name)."""

    TYPE: ClassVar[str]
    BUS: ClassVar[str] = "PCI"
    """The type of bus it goes on."""
    MAKES_BUS: ClassVar[str | None] = None
    """The type of the bus behind it."""
    IS_PROXY: ClassVar[bool] = False
    """Whether a virtio device is behind it, which goes with it."""
    SETTABLE: ClassVar[Mapping[str, str]] = {}
    """QOM properties that a client may write, and their types."""
    STAYS: ClassVar[str | None] = None
    """What is said to who would unplug it, where that cannot be."""
    OPENS_EARLY: ClassVar[bool] = False
    """Whether it is opened even before a migration comes, as nothing behind it travels."""

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Keep the identity: `id` as in -device (may be None), `path` the QOM path.

        `properties` holds the given properties, checked and typed. Subclasses take the
        netdev or chardev they name from `parts`. Raises QMPError in QEMU's words.
        """
        self.id = id
        self.path = path
        self.properties = properties
        self.parts = parts
        self.cpu_number: int | None = None  # which CPU it is, if it is one
        self.hotplugged = False  # whether it came after the start
        self.unplugged = False  # the guest has given it back, and has not got it again
        self.place: int | None = None  # on a PCI bus: 8 times the slot, and the function

    @property
    def name(self) -> str:
        """What a message calls the device: its ID, else its QOM path."""
        return self.id or self.path

    @property
    def section(self) -> str:
        """What a migration calls its section: both ends have to agree on its ID."""
        return self.path

    @property
    def backend(self) -> Backend | None:
        """The owner of the host descriptors behind this device, if there is one."""
        return None

    @property
    def netdev_id(self) -> str | None:
        """The netdev that is its own, if there is one."""
        return None

    @property
    def driver_features(self) -> tuple[str, ...] | None:
        """The virtio features that the simulated guest's driver takes; None without a driver."""
        return None

    @property
    def migration_blocker(self) -> str | None:
        """Why a machine with it cannot migrate, in QEMU's words; None where it can."""
        return None

    @property
    def buses(self) -> Sequence[tuple[str, str]]:
        """The buses behind it: what follows its ID in the name of each, and the bus's type."""
        return () if self.MAKES_BUS is None else ((".0", self.MAKES_BUS),)

    @property
    def bus_slots(self) -> int:
        """How many devices the bus behind it takes."""
        return _MANY

    def settle(self, others: Sequence[Device], slots: int) -> None:
        """Find a place beside `others` on a bus of so many. Raises QMPError in QEMU's words."""

    async def open(self) -> None:
        """Take the host's resources the ordinary way. Raises QMPError in QEMU's words."""

    def run(self) -> None:
        """Let the simulated guest use the device; the machine runs from now on."""

    def halt(self) -> None:
        """Keep the simulated guest off the device; nothing is read or sent from now on."""

    def reset(self) -> None:
        """Have the simulated guest begin anew with the device; it runs or not, as before."""

    async def drain(self) -> None:
        """Finish what the backend has under way (`stop`, or a migration without hand-over).

        Does nothing when that is done already, or when the device is not open.
        """

    async def restart(self) -> None:
        """Undo `drain`; does nothing when the backend is not drained."""

    def start_load(self, depth: int, write: bool) -> None:  # noqa: ARG002  (for disks)
        """Have the guest keep `depth` verified requests under way, writing or only reading."""
        raise QMPError(f"Device '{self.name}' has no disk that the simulated guest could use")

    def stop_load(self) -> None:
        """Have the guest send no new requests; nothing happens where there is no load."""

    def save(self) -> dict[str, Any]:
        """Return the device's and its guest driver's state, as JSON (no descriptors)."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state that `save` returned in another process."""

    def report(self) -> dict[str, Any] | None:
        """Return the x-sim-query-guest entry (without `device`), None when there is no guest."""
        return None

    def values(self) -> dict[str, Any]:
        """Return QOM properties that are not among those given."""
        return {}

    def set(self, name: str, value: Any) -> None:
        """Set one of SETTABLE. Raises QMPError in QEMU's words."""
        raise NotImplementedError(name)

    def close(self) -> None:
        """Give back what is the device's own; the netdev or chardev behind it stays."""
