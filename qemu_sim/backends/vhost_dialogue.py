"""What a vhost-user front end says, and in which order.

QEMU: hw/virtio/vhost.c (vhost_dev_init, vhost_dev_start), hw/virtio/vhost-user.c

Each function is one stretch of the conversation. All raise QMPError naming the server
when it refuses, and WireError when an answer makes no sense.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from qemu_sim.errors import QMPError, WireError
from qemu_sim.wire import vhost_user
from qemu_sim.wire.vhost_user import Inflight, Region, Request, VringAddress

if TYPE_CHECKING:
    from qemu_sim.backends.vhost_connection import VhostConnection
    from qemu_sim.fds import Fd
    from qemu_sim.virtio.memory import GuestMemory
    from qemu_sim.virtio.queue import Ring

F_VERSION_1 = 1 << 32
# Ring addresses in messages are addresses of the front end's process. Ours are not real
# ones: guest RAM just appears here in the memory table. Zero would look like "unset".
_USER_BASE = 0x7F00_0000_0000
_WANTED = vhost_user.PROTOCOL_F_MQ | vhost_user.PROTOCOL_F_REPLY_ACK
_WANTED_BY_DISKS = vhost_user.PROTOCOL_F_CONFIG | vhost_user.PROTOCOL_F_INFLIGHT_SHMFD


class Needs(NamedTuple):
    """What a device asks of its server.

    `type` names the backend in a hand-over; `features` are the virtio features the
    driver can use; `queues` are counted as the device does, for a NIC in pairs;
    `config_size` is in bytes, 0 for a NIC: QEMU itself is what it is configured by.
    """

    type: str
    features: int
    queues: int
    queue_size: int
    config_size: int


class Terms(NamedTuple):
    """What both sides agreed on, and the device's configuration space."""

    features: int
    protocol_features: int
    config: bytes

    def includes(self, protocol_feature: int) -> bool:
        """Whether a protocol feature was agreed on."""
        return bool(self.protocol_features & protocol_feature)


class VringSetup(NamedTuple):
    """One ring as the server is told of it; `base` counts the chains it already took."""

    ring: Ring
    base: int
    kick: Fd
    call: Fd


async def negotiate(connection: VhostConnection, needs: Needs) -> Terms:
    """Agree on features, check the number of queues, read the configuration."""
    offered = await _ask_u64(connection, Request.GET_FEATURES)
    wanted = needs.features | F_VERSION_1 | vhost_user.F_PROTOCOL_FEATURES
    features = offered & wanted
    if not features & F_VERSION_1:
        raise QMPError(f"{connection.name}: the server does not offer VIRTIO_F_VERSION_1")
    terms = Terms(features, 0, b"")
    if features & vhost_user.F_PROTOCOL_FEATURES:
        wanted = _WANTED | (_WANTED_BY_DISKS if needs.config_size else 0)
        protocol = await _ask_u64(connection, Request.GET_PROTOCOL_FEATURES) & wanted
        agreed = vhost_user.encode_u64(protocol)
        await connection.tell(Request.SET_PROTOCOL_FEATURES, agreed)
        terms = terms._replace(protocol_features=protocol)
    connection.reply_ack = terms.includes(vhost_user.PROTOCOL_F_REPLY_ACK)
    await _check_queues(connection, terms, needs.queues)
    await connection.tell(Request.SET_OWNER)
    return terms._replace(config=await _config(connection, terms, needs.config_size))


async def get_inflight(connection: VhostConnection, needs: Needs) -> tuple[Inflight, Fd]:
    """Have the server make its inflight area; the caller owns the descriptor."""
    question = vhost_user.encode_inflight(Inflight(0, 0, needs.queues, needs.queue_size))
    answer = await connection.ask(Request.GET_INFLIGHT_FD, question)
    if not answer.fds:
        raise QMPError(f"{connection.name}: the server has no inflight area")
    return vhost_user.decode_inflight(answer.payload), answer.fds[0]


async def set_up(connection: VhostConnection, terms: Terms, memory: GuestMemory) -> None:
    """Tell the server the features in use and guest RAM."""
    region = Region(0, memory.size, _USER_BASE, 0)
    await connection.tell(Request.SET_FEATURES, vhost_user.encode_u64(terms.features))
    await connection.tell(Request.SET_MEM_TABLE, vhost_user.encode_mem_table([region]), [memory.fd])


async def set_inflight(connection: VhostConnection, inflight: Inflight, fd: Fd) -> None:
    """Give the server the inflight area to use."""
    await connection.tell(Request.SET_INFLIGHT_FD, vhost_user.encode_inflight(inflight), [fd])


async def start(connection: VhostConnection, terms: Terms, vrings: Sequence[VringSetup]) -> None:
    """Have the server process the rings; it is done with the set-up when this returns."""
    for index, vring in enumerate(vrings):
        ring = vring.ring
        where = VringAddress(
            index, _USER_BASE + ring.desc, _USER_BASE + ring.used, _USER_BASE + ring.avail
        )
        queue = vhost_user.encode_u64(index)
        await _tell_vring(connection, Request.SET_VRING_NUM, index, ring.size)
        await _tell_vring(connection, Request.SET_VRING_BASE, index, vring.base)
        await connection.tell(Request.SET_VRING_ADDR, vhost_user.encode_vring_address(where))
        await connection.tell(Request.SET_VRING_CALL, queue, [vring.call])
        await connection.tell(Request.SET_VRING_KICK, queue, [vring.kick])
    await _enable(connection, terms, len(vrings), 1)
    if not connection.reply_ack:
        # Without acknowledgements this answer proves that everything before was processed.
        await connection.ask(Request.GET_FEATURES)


async def stop(connection: VhostConnection, terms: Terms, count: int) -> list[int]:
    """Take `count` rings back; returns how many chains the server took of each, mod 2^16."""
    await _enable(connection, terms, count, 0)
    bases = []
    for index in range(count):
        question = vhost_user.encode_vring_state(index, 0)
        answer = await connection.ask(Request.GET_VRING_BASE, question)
        bases.append(vhost_user.decode_vring_state(answer.payload)[1])
    return bases


async def _check_queues(connection: VhostConnection, terms: Terms, queues: int) -> None:
    limit = 1
    if terms.includes(vhost_user.PROTOCOL_F_MQ):
        limit = await _ask_u64(connection, Request.GET_QUEUE_NUM)
    if limit < queues:
        raise QMPError(
            f"{connection.name}: The maximum number of queues supported by the backend is {limit}"
        )


async def _config(connection: VhostConnection, terms: Terms, size: int) -> bytes:
    if not size:
        return b""
    if not terms.includes(vhost_user.PROTOCOL_F_CONFIG):
        raise QMPError(f"{connection.name}: the server does not offer its configuration")
    question = vhost_user.encode_config(0, bytes(size))
    answer = await connection.ask(Request.GET_CONFIG, question)
    _, config = vhost_user.decode_config(answer.payload)
    if len(config) != size:
        raise WireError(f"{len(config)} bytes of configuration instead of {size}")
    return config


async def _enable(connection: VhostConnection, terms: Terms, count: int, on: int) -> None:
    """Without protocol features a ring is enabled from its start, and the message unknown."""
    if terms.features & vhost_user.F_PROTOCOL_FEATURES:
        for index in range(count):
            await _tell_vring(connection, Request.SET_VRING_ENABLE, index, on)


async def _tell_vring(
    connection: VhostConnection, request: Request, index: int, number: int
) -> None:
    await connection.tell(request, vhost_user.encode_vring_state(index, number))


async def _ask_u64(connection: VhostConnection, request: Request) -> int:
    return vhost_user.decode_u64((await connection.ask(request)).payload)
