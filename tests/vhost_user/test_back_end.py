"""The embedded server: its protocol, its log, and requests that another server left."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct

import pytest

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd
from qemu_sim.vhost_user_blk import inflight
from qemu_sim.vhost_user_blk.back_end import BackEnd
from qemu_sim.vhost_user_blk.inflight import InflightArea
from qemu_sim.vhost_user_blk.program import main
from qemu_sim.vhost_user_blk.raw_image import RawImage
from qemu_sim.vhost_user_blk.regions import Regions
from qemu_sim.virtio.memory import GuestMemory
from qemu_sim.virtio.queue import Buffer, DriverQueue, allocate_ring, used_index
from qemu_sim.wire import vhost_user
from qemu_sim.wire.vhost_user import MessageReader, Region, Request, VringAddress

USER = 0x10000000
SIZE = 1 << 20
HEADER = struct.Struct("=IIQ")


class Client:
    """A front end that says what it likes, and counts nothing."""

    def __init__(self, tmp_path) -> None:
        (tmp_path / "image").write_bytes(bytes(range(256)) * 4096)
        self.image = Fd(os.open(tmp_path / "image", os.O_RDWR))
        self.memory = GuestMemory(SIZE, shared=True)
        self.events = []
        self.ours, theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.back_end = BackEnd(theirs, RawImage(self.image), self._log, lambda: None)
        self.reader = MessageReader()
        self.call, self.kick = (Fd(os.eventfd(0)) for _ in range(2))

    def _log(self, event, members):
        self.events.append((event, *members.values()))

    async def ask(self, request, payload=b"", fds=(), flags=0):
        message = vhost_user.encode(request, payload, flags)
        socket.send_fds(self.ours, [message], [fd.fileno() for fd in fds])
        async with asyncio.timeout(5):
            while (answer := self.reader.next()) is None:
                while True:
                    try:
                        data, numbers, _, _ = socket.recv_fds(self.ours, 4096, 4)
                        break
                    except BlockingIOError:
                        await asyncio.sleep(0)
                    except ConnectionResetError:  # it left before it had read all
                        return None
                if not data:
                    return None
                self.reader.feed(data, map(Fd, numbers))
        return answer

    async def tell(self, request, payload=b"", fds=()):
        answer = await self.ask(request, payload, fds, vhost_user.NEED_REPLY)
        return answer and vhost_user.decode_u64(answer.payload)

    async def set_up(self, ring, base=0):
        state = vhost_user.encode_vring_state
        table = vhost_user.encode_mem_table([Region(0, SIZE, USER, 0)])
        where = VringAddress(0, USER + ring.desc, USER + ring.used, USER + ring.avail)
        index = vhost_user.encode_u64(0)
        assert await self.tell(Request.SET_MEM_TABLE, table, [self.memory.fd]) == 0
        assert await self.tell(Request.SET_VRING_NUM, state(0, ring.size)) == 0
        assert await self.tell(Request.SET_VRING_BASE, state(0, base)) == 0
        address = vhost_user.encode_vring_address(where)
        assert await self.tell(Request.SET_VRING_ADDR, address) == 0
        assert await self.tell(Request.SET_VRING_CALL, index, [self.call]) == 0
        assert await self.tell(Request.SET_VRING_KICK, index, [self.kick]) == 0
        assert await self.tell(Request.SET_VRING_ENABLE, state(0, 1)) == 0

    def close(self):
        self.back_end.close()
        self.reader.close()
        self.ours.close()
        self.memory.close()
        for fd in (self.image, self.call, self.kick):
            fd.close()


@pytest.fixture
async def client(tmp_path):
    made = Client(tmp_path)
    yield made
    made.close()


def request(memory, kind, sector, *buffers, status=1):
    """Put a request into guest RAM; returns the chain and the address of its status."""
    header = memory.allocate(HEADER.size)
    memory.write(header, HEADER.pack(kind, 0, sector))
    where = memory.allocate(1)
    memory.write(where, b"\xff")
    last = [Buffer(where, status, True)] if status else []
    return [Buffer(header, HEADER.size, False), *buffers, *last], where


async def run(client, *requests):
    """Serve requests from a fresh ring; returns their status bytes."""
    ring = allocate_ring(client.memory, 32)
    driver = DriverQueue(client.memory, ring)
    await client.set_up(ring)
    for chain, _ in requests:
        driver.add(chain)
    driver.publish()
    os.eventfd_write(client.kick.fileno(), 1)
    assert (await client.ask(Request.GET_QUEUE_NUM)).payload
    assert used_index(client.memory, ring) == len(requests)
    assert os.eventfd_read(client.call.fileno()) == 1
    return [client.memory.read(where, 1)[0] for _, where in requests]


async def test_requests_of_every_kind(client):
    data = client.memory.allocate(8192)
    one = Buffer(data, 512, True)
    statuses = await run(
        client,
        request(client.memory, 0, 1, one, Buffer(data + 4096, 512, True)),
        request(client.memory, 0, SIZE // 512, one),
        request(client.memory, 0, 0, Buffer(data, 100, True)),
        request(client.memory, 1, SIZE // 512, Buffer(data, 512, False)),
        request(client.memory, 4, 0),
        request(client.memory, 8, 0, Buffer(data + 1024, 20, True)),
    )
    assert statuses == [0, 1, 1, 1, 0, 0]
    assert client.memory.read(data, 512) == bytes(range(256)) * 2
    assert client.memory.read(data + 4096, 512) == bytes(range(256)) * 2
    assert client.memory.read(data + 1024, 9) == b"qemu-sim\0"


async def test_an_unknown_kind(client):
    assert await run(client, request(client.memory, 77, 0)) == [2]


async def test_a_write_from_two_buffers(client, tmp_path):
    data = client.memory.allocate(1024)
    client.memory.write(data, b"x" * 1024)
    halves = [Buffer(data, 512, False), Buffer(data + 512, 512, False)]
    assert await run(client, request(client.memory, 1, 2, *halves)) == [0]
    assert (tmp_path / "image").read_bytes()[1024:2048] == b"x" * 1024


@pytest.mark.parametrize(
    ("buffers", "words"),
    [
        ([Buffer(SIZE, 512, True)], "no guest RAM for 512 bytes"),
        ([], "without room for its status"),
    ],
)
async def test_a_broken_request_ends_the_connection(client, buffers, words):
    ring = allocate_ring(client.memory, 16)
    driver = DriverQueue(client.memory, ring)
    await client.set_up(ring)
    driver.add(request(client.memory, 0, 0, *buffers, status=len(buffers))[0])
    driver.publish()
    os.eventfd_write(client.kick.fileno(), 1)
    assert await client.ask(Request.GET_FEATURES) is None
    assert words in client.events[-1][1]


async def test_a_stopped_ring_says_where_it_stands(client):
    ring = allocate_ring(client.memory, 16)
    driver = DriverQueue(client.memory, ring)
    driver.add(request(client.memory, 4, 0)[0])
    driver.publish()
    await client.set_up(ring)
    answer = await client.ask(Request.GET_VRING_BASE, vhost_user.encode_vring_state(0, 0))
    assert vhost_user.decode_vring_state(answer.payload) == (0, 1)
    driver.add(request(client.memory, 4, 0)[0])
    driver.publish()
    os.eventfd_write(client.kick.fileno(), 1)
    await client.ask(Request.GET_FEATURES)
    assert used_index(client.memory, ring) == 1


@pytest.mark.parametrize(
    ("number", "payload", "words"),
    [
        (99, b"", "request 99 is not supported"),
        (Request.SET_VRING_NUM, vhost_user.encode_vring_state(16, 8), "ring 16 of 16"),
        (Request.SET_VRING_NUM, b"", "vring state of 0 bytes"),
        (Request.SET_FEATURES, vhost_user.encode_u64(1 << 60), "were not offered"),
        (
            Request.SET_VRING_ADDR,
            vhost_user.encode_vring_address(VringAddress(0, 1, 2, 3)),
            "address 0x1 is in no memory region",
        ),
        (Request.SET_VRING_KICK, vhost_user.encode_u64(vhost_user.NO_FD), "before its address"),
    ],
)
async def test_nonsense_ends_the_connection(client, number, payload, words):
    assert await client.ask(number, payload, flags=vhost_user.NEED_REPLY) is None
    assert client.events[-1][0] == "error"
    assert words in client.events[-1][1]


async def test_a_region_that_is_not_in_its_file(client):
    table = vhost_user.encode_mem_table([Region(0, SIZE + 1, USER, 0)])
    assert await client.tell(Request.SET_MEM_TABLE, table, [client.memory.fd]) is None
    assert "memory region up to 1048577 in a file of 1048576 bytes" in client.events[-1][1]


async def test_requests_that_another_server_left(client):
    """Taken, marked in the inflight area, never returned: the next server does them first."""
    ring = allocate_ring(client.memory, 16)
    driver = DriverQueue(client.memory, ring)
    heads = [driver.add(request(client.memory, 4, 0)[0]) for _ in range(3)]
    driver.publish()
    geometry, fd = inflight.create(1, 16)
    part = InflightArea(geometry, fd).part(0)
    assert part.recover(0) == []
    for head in (heads[1], heads[0]):
        part.take(head)
    with fd:
        payload = vhost_user.encode_inflight(geometry)
        assert await client.tell(Request.SET_INFLIGHT_FD, payload, [fd]) == 0
        await client.set_up(ring, base=2)
        assert [driver.take()[0] for _ in range(3)] == [heads[1], heads[0], heads[2]]
        assert InflightArea(geometry, fd).part(0).recover(3) == []


def test_a_server_that_died_between_two_marks():
    geometry, fd = inflight.create(2, 8)
    with fd:
        part = InflightArea(geometry, fd).part(1)
        assert part.recover(10) == []
        part.take(3)
        part.take(5)
        part.about_to_return(3)
        # It died here: the used ring is at 11, the area does not know.
        again = InflightArea(geometry, fd)
        assert again.part(1).recover(11) == [5]
        assert again.part(0).recover(0) == []
        assert again.part(2) is None
        with pytest.raises(WireError, match="descriptor 8 in an inflight area for 8"):
            part.take(8)
        with pytest.raises(WireError, match="inflight area"):
            InflightArea(geometry._replace(queues=3), fd)


def test_regions_translate():
    memory = GuestMemory(SIZE, shared=True)
    table = [Region(0, 4096, USER, 0), Region(1 << 32, 4096, USER + 8192, 4096)]
    regions = Regions(table, [memory.fd, memory.fd])
    memory.write(4096, b"second")
    assert bytes(regions.view(1 << 32, 6)) == b"second"
    assert regions.guest_address(USER + 8192 + 5) == (1 << 32) + 5
    for address, length in ((4090, 7), (8192, 1), (-1, 1)):
        with pytest.raises(WireError):
            regions.view(address, length)
    memory.close()


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_it_ends_in_order(disk, server, reach):
    server.process.send_signal(signal.SIGTERM)
    await reach(lambda: server.process.poll() is not None, "the server ends")
    assert server.process.returncode == 0
    assert not os.path.exists(server.path)
    events = [entry["event"] for entry in server.log()]
    assert (events[0], events[-1]) == ("connect", "disconnect")
    assert set(events[1:-1]) == {"message"}


def test_what_cannot_be_served(tmp_path, capsys):
    assert main(["--socket", str(tmp_path / "s"), "--image", str(tmp_path / "none")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
