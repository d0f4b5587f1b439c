"""Command lines of machines with backends that can be handed over."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager

from programs import SIM

from qemu_sim.testing import netns
from qemu_sim.testing.listening import wait_for_listener

QUEUE_DEPTH = 32
_RAM = [
    *("-machine", "q35,memory-backend=ram", "-m", "64M"),
    *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
]
_IMAGE_SIZE = 64 << 20


def taps(count, queues=1):
    """Return the command line of a machine with NICs on TAPs. RuntimeError where there is none."""
    if obstacle := netns.why_not():
        raise RuntimeError(obstacle)
    argv = list(_RAM)
    for number in range(count):
        tap = f"tap,id=net{number},ifname=tap{number},script=no,downscript=no"
        nic = f"virtio-net-pci,id=nic{number},netdev=net{number}"
        many = (f",queues={queues}", ",mq=on") if queues > 1 else ("", "")
        argv += ["-netdev", tap + many[0], "-device", nic + many[1]]
    return argv


@contextmanager
def served_disk(directory, beside=_RAM):
    """Yield the command line of a machine with a disk, which our own server serves."""
    path, image = (os.path.join(directory, name) for name in ("disk.sock", "disk.image"))
    with open(image, "wb") as file:
        file.truncate(_IMAGE_SIZE)
    server = subprocess.Popen([*SIM, "vhost-user-blk", "--socket", path, "--image", image])
    try:
        wait_for_listener(path, within=10)
        chardev = ["-chardev", f"socket,id=char0,path={path}"]
        yield [*beside, *chardev, "-device", "vhost-user-blk-pci,id=disk0,chardev=char0"]
    finally:
        server.terminate()
        server.wait()


def use_disk(monitor):
    """Have the guest read and write as many blocks at once as the figures say."""
    load = {"enable": True, "queue_depth": QUEUE_DEPTH, "write": True}
    monitor.execute("x-sim-guest-io", device="disk0", **load)
