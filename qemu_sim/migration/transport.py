"""What a transport is: how a source opens its channel, and how a destination gets one.

QEMU: migration/channel.c

Opening has two parts. What QEMU does before it answers the command is done at once, and
raises the error that the client gets; the rest is awaited, and fails the migration later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from qemu_sim.io.readable import has_input

if TYPE_CHECKING:
    from qemu_sim.fds import Fd
    from qemu_sim.io.any_channel import AnyChannel


class Access(NamedTuple):
    """What a transport may use of its machine, and of the client that asks."""

    version: tuple[int, int, int]
    """Of the QEMU to be."""
    check_peer: bool
    """Whether only the same user, or root, may be at the other end of a socket."""
    fdset_member: Callable[[str, int], Fd | None]
    """Duplicates what the path /dev/fdset/N names; None for another path. Raises QMPError."""
    named_fds: dict[str, Fd] | None
    """What the client's `getfd` named; None on the command line."""
    channels: int = 1
    """How many a destination waits for."""


class Opening(Protocol):
    """A channel on its way."""

    async def channel(self) -> AnyChannel:
        """Wait for it; the caller owns it. Raises MigrationError or QMPError."""

    def close(self) -> None:
        """Give up what nobody has waited for. Repeatable."""


class Arrival(Opening, Protocol):
    """A destination's channel, once the source is there."""

    @property
    def bound(self) -> Sequence[dict[str, Any]]:
        """The QAPI SocketAddress list it listens at, port 0 resolved; empty without a socket."""


class Transport(Protocol):
    """An address: where a migration goes to or comes from."""

    can_carry_fds: bool
    """Whether descriptors may travel; of `fd:` one knows only when it is open."""
    can_be_many: bool
    """Whether more than one channel can be opened."""
    can_seek: bool
    """Whether what is written has a place."""

    @property
    def NAME(self) -> str:  # noqa: N802  (a class constant in every implementation)
        """What QEMU calls a channel of this kind."""

    def connect(self, access: Access) -> Opening:
        """Open a source's channel. Raises QMPError in QEMU's words."""

    def listen(self, access: Access) -> Arrival:
        """Open a destination's channel. Raises QMPError in QEMU's words."""


class Opened:
    """A channel that was there at once."""

    def __init__(self, channel: AnyChannel) -> None:
        self._channel: AnyChannel | None = channel

    async def channel(self) -> AnyChannel:
        """Hand it over."""
        channel, self._channel = self._channel, None
        assert channel is not None
        return channel

    def close(self) -> None:
        """Close it, unless it was handed over."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class Awaited(Opened):
    """A channel through which the source has not said anything yet."""

    bound: Sequence[dict[str, Any]] = ()

    def __init__(self, channel: AnyChannel, number: int | None) -> None:
        """`number` is the descriptor to watch; None where there is nothing to wait for."""
        super().__init__(channel)
        self._number = number

    async def channel(self) -> AnyChannel:
        """Hand it over when there is something to read."""
        if self._number is not None:
            await has_input(self._number)
        return await super().channel()
