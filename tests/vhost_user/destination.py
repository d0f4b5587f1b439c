"""The other process of a hand-over: takes one disk from descriptor 3 and goes on.

Gets one message, {"ram", "path", "properties", "device", "backend"} and its descriptors, RAM's
first. Answers with the first report as soon as `count` requests were done here, then
waits for one byte, stops and answers with the last report.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import sys

from qemu_sim.fds import Fd, TaggedFd, open_descriptors

_SPEC = importlib.util.spec_from_file_location(
    "servers", os.path.join(os.path.dirname(__file__), "conftest.py")
)
_SERVERS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_SERVERS)


async def main(control: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    data, numbers, _, _ = socket.recv_fds(control, 1 << 20, 64)
    message = json.loads(data)
    parts = _SERVERS.Parts(message["path"], _SERVERS.GuestMemory(message["ram"], shared=True))
    disk = _SERVERS.VhostUserBlkPCI(
        "disk0", "/machine/peripheral/disk0", message["properties"], parts
    )
    ram, *fds = [Fd(number) for number in numbers]
    parts.memory.adopt(ram)
    disk.load(message["device"])
    tagged = [
        TaggedFd(role, index, fd)
        for (role, index, _), fd in zip(message["backend"]["descriptors"], fds, strict=True)
    ]
    disk.backend.adopt(message["backend"], tagged)
    disk.backend.activate()
    disk.run()
    goal = disk.report()["requests"] + message["count"]
    await _SERVERS.wait_until(lambda: disk.report()["requests"] >= goal, "the load goes on")
    control.setblocking(False)
    await loop.sock_sendall(control, json.dumps(disk.report()).encode())
    await loop.sock_recv(control, 1)
    disk.stop_load()
    await _SERVERS.wait_until(lambda: not disk.report()["inflight"], "nothing under way")
    await loop.sock_sendall(control, json.dumps(disk.report()).encode())
    disk.close()
    parts.chardev.close()
    parts.memory.close()
    control.close()
    left = [
        name for number, name in open_descriptors().items() if "eventfd" in name or "memfd" in name
    ]
    assert not left, left


if __name__ == "__main__":
    asyncio.run(main(socket.socket(fileno=int(sys.argv[1]))))
