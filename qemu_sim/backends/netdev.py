"""A netdev: the host side of one NIC.

QEMU: net/net.c

A netdev carries plain Ethernet frames in both directions. Between `stop` and `start` it
reads nothing: frames for the guest stay where they are, which for a TAP is the kernel's
queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from qemu_sim.errors import MigrationError
from qemu_sim.fds import Fd, TaggedFd, close_all

if TYPE_CHECKING:
    from qemu_sim.backends.chardev import Chardev
    from qemu_sim.virtio.memory import GuestMemory

Version = tuple[int, int, int]
Emit = Callable[[str, dict[str, Any]], None]
Receive = Callable[[int, bytes], None]
"""Gets the queue pair and one Ethernet frame, without a virtio-net header."""


class Netdev:
    """One netdev. Subclasses are found by their TYPE (netdev_tap.py holds "tap").

    The methods from `transfer_blocker` on move open descriptors to another process. What
    stands here is a netdev that has none to move.
    """

    TYPE: ClassVar[str]

    def __init__(self, id: str, options: dict[str, Any], fds: Sequence[Fd] = ()) -> None:
        """Keep `options`, the checked members of the netdev's QAPI type.

        `fds` are the descriptors that fd= or fds= stand for, in order, owned by the netdev
        from now on. Raises QMPError in QEMU's words.
        """
        self.id = id
        self.options = options
        self.queues = 1
        self.link_up = True
        self.neighbours: Mapping[str, Netdev] = {}  # all netdevs of the machine, by ID
        self.version: Version = (11, 1, 0)  # the machine's, where there is one
        self.emit: Emit = lambda _name, _data: None  # told each event, where there are clients
        self._given = list(fds)

    def attach(self, chardev: Chardev, memory: GuestMemory) -> None:
        """Use the chardev that the option `chardev` names, and guest RAM."""
        raise NotImplementedError

    @property
    def info(self) -> str:
        """What `info network` shows of it after its type."""
        return ""

    @property
    def is_open(self) -> bool:
        """Whether the host's resources are taken."""
        raise NotImplementedError

    async def open(self) -> None:
        """Take the host's resources the ordinary way. Raises QMPError in QEMU's words."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back; nothing happens the second time."""
        raise NotImplementedError

    def start(self, receive: Receive) -> None:
        """Read frames as they come and pass each to `receive`."""
        raise NotImplementedError

    def stop(self) -> None:
        """Read nothing from now on."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Take back what a server has under way; nothing where there is no server."""

    async def restart(self) -> None:
        """Undo `drain`."""

    def forget_rings(self) -> None:
        """Set up new rings at the next `restart`, if it has some: guest RAM becomes another."""

    def send(self, queue: int, frame: bytes) -> bool:
        """Send one Ethernet frame; False when it was dropped on the way out."""
        raise NotImplementedError

    def enable_queues(self, count: int) -> None:
        """Use the first `count` queue pairs and no other, as the guest's driver asks."""

    def transfer_blocker(self) -> str | None:
        """Return why the descriptors cannot move to another process, None when they can."""
        return f"netdev type {self.TYPE} does not support backend transfer"

    def identity(self) -> dict[str, Any]:
        """Return the facts that the destination compares before anything moves."""
        return {"type": self.TYPE}

    def mismatch(self, offered: dict[str, Any]) -> str | None:  # noqa: ARG002 - none fits
        """Return why this netdev cannot take over the `offered` identity; destination only."""
        return self.transfer_blocker()

    def quiesce(self) -> None:
        """Leave the descriptors alone from now on. Raises MigrationError if impossible."""
        raise MigrationError(self.transfer_blocker())

    def unquiesce(self) -> None:
        """Undo `quiesce`: the move was called off."""

    def hand_over(self) -> tuple[dict[str, Any], list[TaggedFd]]:
        """Return the state (JSON) and the descriptors, which stay owned here."""
        raise MigrationError(self.transfer_blocker())

    def adopt(self, state: dict[str, Any], fds: list[TaggedFd]) -> None:  # noqa: ARG002 - none fits
        """Own `fds` after checking each. Raises MigrationError and closes them otherwise."""
        close_all(tagged.fd for tagged in fds)
        raise MigrationError(self.transfer_blocker())

    def adopt_unchecked(self, queues: list[Fd], *, header_length: int, enabled: int) -> None:  # noqa: ARG002
        """Own `queues`, as a plain stream brings them: unchecked, `enabled` of them in use."""
        close_all(queues)
        raise MigrationError(self.transfer_blocker())

    def activate(self) -> None:
        """Use what was adopted: the move is final."""

    def disown(self) -> None:
        """Close what was adopted: the move was called off."""

    def release(self) -> None:
        """Close the source's copies: the move is final."""
