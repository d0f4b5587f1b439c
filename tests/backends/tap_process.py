"""One end of a hand-over between processes: `tap_process.py source|destination SOCKET QUEUES`.

The source opens tap0, answers until it reads a line, hands everything over and exits. The
destination answers until its stdin ends and prints its counters.
"""

import array
import asyncio
import json
import socket
import sys
import time

from qemu_sim.backends.netdev_tap import NetdevTap
from qemu_sim.fds import Fd, TaggedFd
from qemu_sim.guest.network import Network
from qemu_sim.guest.nic import NIC


async def line():
    return await asyncio.to_thread(sys.stdin.readline)


async def source(netdev, nic, sock):
    await netdev.open()
    nic.start()
    sys.stdout.write("open\n")
    sys.stdout.flush()
    await line()
    nic.stop()
    netdev.quiesce()
    state, fds = netdev.hand_over()
    message = {"identity": netdev.identity(), "state": state, "nic": nic.save()}
    rights = array.array("i", [tagged.fd.fileno() for tagged in fds])
    sock.sendmsg([json.dumps(message).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    assert sock.recv(5) == b"ready"
    sock.send(b"commit")
    netdev.release()


async def destination(netdev, nic, sock):
    data, numbers, _, _ = await asyncio.to_thread(socket.recv_fds, sock, 0x10000, 16)
    fds = [Fd(number) for number in numbers]
    message = json.loads(data)
    assert netdev.mismatch(message["identity"]) is None
    nic.load(message["nic"], bytes.fromhex("525400123456"))
    before = nic.frames_in
    began = time.perf_counter()
    netdev.adopt(message["state"], [TaggedFd("queue", i, fd) for i, fd in enumerate(fds)])
    adopted = time.perf_counter()
    sock.send(b"ready")
    assert sock.recv(6) == b"commit"
    netdev.activate()
    nic.start()
    await line()
    counters = nic.save() | {"frames-in-before": before, "adopt-us": round((adopted - began) * 1e6)}
    del counters["network"]
    sys.stdout.write(json.dumps(counters))
    sys.stdout.flush()
    netdev.close()


async def main():
    role, number, queues = sys.argv[1:]
    options = {"ifname": "tap0", "script": "no", "downscript": "no", "queues": int(queues)}
    netdev = NetdevTap("net0", options)
    nic = NIC(netdev, Network(bytes.fromhex("525400123456")))
    with socket.socket(fileno=int(number)) as sock:
        await {"source": source, "destination": destination}[role](netdev, nic, sock)


asyncio.run(main())
