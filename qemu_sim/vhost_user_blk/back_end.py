"""The server's end of one vhost-user connection.

QEMU: docs/interop/vhost-user.rst; subprojects/libvhost-user/libvhost-user.c

What cannot be is answered by closing the connection, with the reason in the log.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd, close_all
from qemu_sim.io.channel import Channel
from qemu_sim.vhost_user_blk import inflight
from qemu_sim.vhost_user_blk.regions import Regions
from qemu_sim.vhost_user_blk.vring import Vring
from qemu_sim.virtio.queue import Ring
from qemu_sim.wire import vhost_user
from qemu_sim.wire.vhost_user import Message, MessageReader, Request

_PROTOCOL_FEATURES = (
    vhost_user.PROTOCOL_F_MQ
    | vhost_user.PROTOCOL_F_REPLY_ACK
    | vhost_user.PROTOCOL_F_CONFIG
    | vhost_user.PROTOCOL_F_INFLIGHT_SHMFD
)
Log = Callable[[str, dict[str, Any]], None]
"""Gets the name of an event and its members."""


class Model(Protocol):
    """The device behind the rings."""

    features: int
    queues: int

    @property
    def config(self) -> bytes:
        """The configuration space."""

    def kicked(self, index: int, vrings: Sequence[Vring]) -> None:
        """Process ring `index`, which is active. Raises WireError on a broken one."""


class BackEnd:
    """One connection. `on_close` is called once, when it has ended."""

    def __init__(
        self, sock: socket.socket, model: Model, log: Log, on_close: Callable[[], None]
    ) -> None:
        """Own `sock`, connected."""
        self._model = model
        self._log = log
        self._on_close = on_close
        self._reader = MessageReader()
        self._vrings = [Vring(self._kick_of(index)) for index in range(model.queues)]
        self._closed = False
        self._answer_fds: list[Fd] = []  # ride on the next answer
        self._regions = Regions()
        self._area: inflight.InflightArea | None = None
        self._answers: dict[int, Callable[[Message], bytes | None]] = {
            Request.GET_FEATURES: self._get_features,
            Request.SET_FEATURES: self._set_features,
            Request.GET_PROTOCOL_FEATURES: self._get_protocol_features,
            Request.SET_PROTOCOL_FEATURES: self._nothing_to_do,
            Request.SET_OWNER: self._nothing_to_do,
            Request.GET_QUEUE_NUM: self._get_queue_num,
            Request.GET_CONFIG: self._get_config,
            Request.SET_MEM_TABLE: self._set_mem_table,
            Request.GET_INFLIGHT_FD: self._get_inflight_fd,
            Request.SET_INFLIGHT_FD: self._set_inflight_fd,
            Request.SET_VRING_NUM: self._set_vring_num,
            Request.SET_VRING_BASE: self._set_vring_base,
            Request.SET_VRING_ADDR: self._set_vring_addr,
            Request.SET_VRING_CALL: self._set_vring_call,
            Request.SET_VRING_KICK: self._set_vring_kick,
            Request.SET_VRING_ERR: self._nothing_to_do,
            Request.SET_VRING_ENABLE: self._set_vring_enable,
            Request.GET_VRING_BASE: self._get_vring_base,
        }
        self._channel = Channel(sock)
        self._channel.on_data = self._data
        self._channel.on_close = self._lost
        self._channel.start_reading()

    def close(self) -> None:
        """End the connection; nothing happens the second time."""
        if self._closed:
            return
        self._closed = True
        self._channel.close()
        self._reader.close()
        for vring in self._vrings:
            vring.close()
        # Guest RAM is unmapped with the last that holds it.
        self._regions, self._area = Regions(), None
        self._on_close()

    def _data(self, data: bytes, fds: list[Fd]) -> None:
        self._reader.feed(data, fds)
        try:
            while not self._closed and (message := self._reader.next()) is not None:
                self._answer(message)
        except WireError as error:
            self._fail(error)

    def _answer(self, message: Message) -> None:
        """Do what a message asks. Its descriptors are closed; who needs one keeps a duplicate."""
        self._log("message", {"request": message.name, "fds": len(message.fds)})
        try:
            do = self._answers.get(message.request)
            if do is None:
                raise WireError(f"request {message.name} is not supported")
            answer = do(message)
        finally:
            close_all(message.fds)
        if answer is None and message.flags & vhost_user.NEED_REPLY:
            answer = vhost_user.encode_u64(0)
        if answer is not None:
            reply = vhost_user.encode(message.request, answer, vhost_user.REPLY)
            self._channel.send(reply, self._answer_fds)
            close_all(self._answer_fds)
            self._answer_fds = []

    def _get_features(self, _: Message) -> bytes:
        return vhost_user.encode_u64(self._model.features | vhost_user.F_PROTOCOL_FEATURES)

    def _set_features(self, message: Message) -> None:
        wanted = vhost_user.decode_u64(message.payload)
        unknown = wanted & ~(self._model.features | vhost_user.F_PROTOCOL_FEATURES)
        if unknown:
            raise WireError(f"features {unknown:#x} were not offered")
        if not wanted & vhost_user.F_PROTOCOL_FEATURES:
            for vring in self._vrings:
                vring.enabled = True

    def _get_protocol_features(self, _: Message) -> bytes:
        return vhost_user.encode_u64(_PROTOCOL_FEATURES)

    def _nothing_to_do(self, _: Message) -> None:
        """Know the message; it changes nothing here."""

    def _get_queue_num(self, _: Message) -> bytes:
        return vhost_user.encode_u64(self._model.queues)

    def _get_config(self, message: Message) -> bytes:
        offset, asked = vhost_user.decode_config(message.payload)
        found = self._model.config[offset : offset + len(asked)]
        return vhost_user.encode_config(offset, found.ljust(len(asked), b"\0"))

    def _set_mem_table(self, message: Message) -> None:
        regions = vhost_user.decode_mem_table(message.payload)
        self._regions = Regions(regions, message.fds)
        for vring in self._vrings:
            vring.reattach(self._regions)

    def _get_inflight_fd(self, message: Message) -> bytes:
        wanted = vhost_user.decode_inflight(message.payload)
        geometry, fd = inflight.create(wanted.queues, wanted.queue_size)
        self._answer_fds = [fd]
        return vhost_user.encode_inflight(geometry)

    def _set_inflight_fd(self, message: Message) -> None:
        geometry = vhost_user.decode_inflight(message.payload)
        self._area = inflight.InflightArea(geometry, message.fds[0])

    def _set_vring_num(self, message: Message) -> None:
        vring, size = self._vring_and_number(message)
        vring.size = size

    def _set_vring_base(self, message: Message) -> None:
        vring, base = self._vring_and_number(message)
        vring.base = base

    def _set_vring_addr(self, message: Message) -> None:
        address = vhost_user.decode_vring_address(message.payload)
        vring, guest = self._vring(address.vring), self._regions.guest_address
        ring = Ring(vring.size, guest(address.desc), guest(address.avail), guest(address.used))
        vring.place(ring)

    def _set_vring_call(self, message: Message) -> None:
        self._fd_vring(message).set_call(_kept(message))

    def _set_vring_kick(self, message: Message) -> None:
        index = _fd_index(message)
        part = self._area.part(index) if self._area is not None else None
        self._vring(index).start(_kept(message), self._regions, part)
        self._process(index)

    def _set_vring_enable(self, message: Message) -> None:
        vring, on = self._vring_and_number(message)
        vring.enabled = bool(on)
        self._process(self._vrings.index(vring))

    def _get_vring_base(self, message: Message) -> bytes:
        index, _ = vhost_user.decode_vring_state(message.payload)
        return vhost_user.encode_vring_state(index, self._vring(index).stop())

    def _kick_of(self, index: int) -> Callable[[], None]:
        def kicked() -> None:
            try:
                self._process(index)
            except WireError as error:
                self._fail(error)

        return kicked

    def _process(self, index: int) -> None:
        if self._vrings[index].is_active:
            self._model.kicked(index, self._vrings)

    def _fd_vring(self, message: Message) -> Vring:
        return self._vring(_fd_index(message))

    def _vring_and_number(self, message: Message) -> tuple[Vring, int]:
        index, number = vhost_user.decode_vring_state(message.payload)
        return self._vring(index), number

    def _vring(self, index: int) -> Vring:
        if index >= len(self._vrings):
            raise WireError(f"ring {index} of {len(self._vrings)}")
        return self._vrings[index]

    def _fail(self, error: Exception) -> None:
        self._log("error", {"reason": str(error)})
        self.close()

    def _lost(self, error: Exception | None) -> None:
        if error is not None:
            self._log("error", {"reason": str(error)})
        self.close()


def _fd_index(message: Message) -> int:
    return vhost_user.decode_u64(message.payload) & ~vhost_user.NO_FD


def _kept(message: Message) -> Fd | None:
    return message.fds[0].share() if message.fds else None
