"""TAPs in a plain stream, each queue as upstream's proposals lay it out.

QEMU: net/tap.c (vmstate_tap), hw/net/virtio-net.c (vmstate_virtio_net_nic), none of it released

    0x20 with one descriptor
    u8 each: vnet header in use, ufo, uso, tunnel (in later dialects), queue enabled
    u32 length of the vnet header

Behind a NIC's queues stands the number of queue pairs (u16) if it has several. Nothing
announces any of it: a reader that expects a queue takes the first descriptor that has
arrived, or, where none has, no byte either, and goes on. So two ends that do not expect
the same misread all that follows. In a package, that is in postcopy, none can travel.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.errors import MigrationError
from qemu_sim.fds import Fd, TaggedFd, close_all
from qemu_sim.migration.vmstate import NET_TAP
from qemu_sim.wire import vmstream
from qemu_sim.wire.virtio_net_header import LENGTHS

if TYPE_CHECKING:
    from qemu_sim.migration.dialects.dialect import Dialect, Netdev
    from qemu_sim.migration.side import Side
    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.transfer import Transferable
    from qemu_sim.wire.vmstream import Reader

_ALREADY_OPEN = "TAP is already initialized and cannot receive incoming fd"
_NOT_EQUAL = "Failed to load element of type uint16 equal for max_queue_pairs: -22"
_IN_A_PACKAGE = "migration-loadvm-buffer does not support fd passing"
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_FLAGS = ("using_vnet_hdr", "has_ufo", "has_uso", "has_tunnel", "enabled")
_log = logging.getLogger(__name__)


class Queue(NamedTuple):
    """One queue that has arrived; `fd` is None where no descriptor had."""

    fd: Fd | None
    header_length: int
    enabled: bool


class Carried(NamedTuple):
    """One TAP on its way out: for each queue, what rides on its byte and what follows it."""

    name: str
    riders: Sequence[Sequence[Fd]]
    states: Sequence[bytes]
    tail: bytes
    """What follows the last one."""
    fields: list[dict[str, Any]]
    """A queue's part of the stream's description."""
    tail_fields: list[dict[str, Any]]
    has_sections: bool
    """Whether each queue has a section of its own."""


@contextmanager
def taken_along(machine: Side) -> Iterator[dict[str, Carried]]:
    """Yield the TAPs that this end puts in its stream, by their NIC's path; they are at rest.

    Raises MigrationError for one that cannot be left alone.
    """
    dialect = machine.dialect
    with ExitStack() as stack:
        found = []
        for device in filter(dialect.includes, machine.devices):
            tap = dialect.tap(device)
            assert tap is not None
            tap.quiesce()
            stack.callback(tap.unquiesce)
            found.append((device, tap, *tap.hand_over()))
        riders = {device.name: [[tagged.fd] for tagged in fds] for device, _, _, fds in found}
        if riders:
            riders = stack.enter_context(machine.hooks.descriptors(riders))
        yield {
            device.path: _carried(dialect, tap, state, fds, riders[device.name])
            for device, tap, state, fds in found
        }


class Arrivals:
    """The TAPs that come in a plain stream, on the destination."""

    def __init__(self, machine: Side, stream: Stream) -> None:
        self._dialect = machine.dialect
        self._stream = stream
        self._taps = {
            tap.id: tap for device in machine.devices if (tap := self._dialect.tap(device))
        }
        self._queues: dict[str, list[Queue]] = {}
        self._received: list[Netdev] = []

    async def read_behind(self, reader: Reader, device: Transferable) -> None:
        """Read what this end expects behind a NIC's own state. Raises MigrationError."""
        if self._dialect.OWN_SECTION or not self._dialect.includes(device):
            return
        tap = self._dialect.tap(device)
        assert tap is not None
        for _ in range(tap.queues):
            await self._read_queue(reader, tap)
        if tap.queues > 1:
            received = _U16.unpack(await reader.read(_U16.size))[0]
            if received != tap.queues:
                _log.error("%x != %x", tap.queues, received)
                raise MigrationError(_NOT_EQUAL)

    def are_named_by(self, section: vmstream.Section) -> bool:
        """Whether it is the section of some TAP's queue."""
        return self._dialect.OWN_SECTION and section.name.endswith(f"/{NET_TAP}")

    def knows(self, section: vmstream.Section) -> bool:
        """Whether it is the section of a queue that there is."""
        tap = self._taps.get(section.name.rpartition("/")[0])
        return tap is not None and self.are_named_by(section) and section.instance < tap.queues

    async def read_own(self, reader: Reader, section: vmstream.Section) -> None:
        """Read a queue that has its own section. Raises MigrationError."""
        await self._read_queue(reader, self._taps[section.name.rpartition("/")[0]])

    def complete(self) -> None:
        """Let the netdevs have what came, without a look at it, as upstream does.

        Raises MigrationError where a descriptor did not come.
        """
        while self._queues:
            id, queues = self._queues.popitem()
            tap = self._taps[id]
            fds = [queue.fd for queue in queues if queue.fd is not None]
            length = queues[0].header_length
            if len(fds) < len(queues):
                close_all(fds)
                raise MigrationError(f"netdev {id}: received {len(fds)} of {len(queues)} queues")
            if length not in LENGTHS:
                close_all(fds)
                raise MigrationError(f"netdev {id}: no vnet header has {length} bytes")
            enabled = sum(queue.enabled for queue in queues)
            tap.adopt_unchecked(fds, header_length=length, enabled=enabled)
            self._received.append(tap)

    def activate(self) -> None:
        """Use what came: the machine runs here now."""
        while self._received:
            self._received.pop().activate()

    def give_up(self) -> None:
        """Close what came."""
        for queues in self._queues.values():
            close_all(queue.fd for queue in queues if queue.fd is not None)
        self._queues.clear()
        while self._received:
            self._received.pop().disown()

    async def _read_queue(self, reader: Reader, tap: Netdev) -> None:
        if tap.is_open:
            raise MigrationError(_ALREADY_OPEN)
        if reader is not self._stream:
            raise MigrationError(_IN_A_PACKAGE)
        fd = await self._stream.next_fd()
        try:
            flags = await self._stream.read(len(_flags(self._dialect)))
            length = await vmstream.read_u32(self._stream)
        except BaseException:
            if fd is not None:
                fd.close()
            raise
        self._queues.setdefault(tap.id, []).append(Queue(fd, length, bool(flags[-1])))


def _carried(
    dialect: Dialect,
    tap: Netdev,
    state: dict[str, Any],
    fds: list[TaggedFd],
    riders: list[list[Fd]],
) -> Carried:
    length, names = state["vnet-hdr-length"], _flags(dialect)
    states = []
    for tagged in fds:
        on = {"using_vnet_hdr": length > 0, "enabled": tagged.index < state["enabled"]}
        states.append(bytes(on.get(name, False) for name in names) + _U32.pack(length))
    fields = [
        {"name": "fd", "type": "fd", "size": 1},
        *({"name": name, "type": "bool", "size": 1} for name in names),
        {"name": "host_vnet_hdr_len", "type": "uint32", "size": _U32.size},
    ]
    tail, tail_fields = b"", []
    if tap.queues > 1:
        tail = _U16.pack(tap.queues)
        tail_fields = [{"name": "max_queue_pairs", "type": "uint16 equal", "size": _U16.size}]
    return Carried(tap.id, riders, states, tail, fields, tail_fields, dialect.OWN_SECTION)


def _flags(dialect: Dialect) -> tuple[str, ...]:
    return tuple(name for name in _FLAGS if dialect.HAS_TUNNEL or name != "has_tunnel")
