"""Records the golden streams in tests/data: `python tests/streams QEMU…`, one for each setting.

QEMU is a program, perhaps with words before it (`chroot DIR qemu-system-x86_64`), which
must see the files below TMPDIR under the same names. The firmware is nothing but zeroes,
so that the streams hold QEMU's own state alone, and stay small.
"""

from __future__ import annotations

import lzma
import os
import socket
import sys
import tempfile
from contextlib import suppress

from qemu_sim.errors import QMPError
from qemu_sim.qapi.emulator import Emulator
from qemu_sim.wire import vmmessage
from qemu_sim.wire.vmdescription import Search

DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data")
TIMEOUT = 30  # seconds
BARE = ("-nodefaults", "-display", "none", "-accel", "tcg")
UUID = "5e9f6b0e-0a8c-4c5e-9d5c-3f3a1f0b7c11"
DEVICES = (
    *("-device", "virtio-net-pci,id=nic0,romfile="),
    *("-blockdev", "null-co,node-name=d0,read-zeroes=on"),
    *("-device", "virtio-blk-pci,id=disk0,drive=d0"),
)
SHARED = ("-object", "memory-backend-memfd,id=ram,size=1M,share=on", "-uuid", UUID)
# Name of a setting: machine, more arguments, capabilities.
SETTINGS = {
    "q35": ("q35", DEVICES, ()),
    "q35-stopped": ("q35", ("-S", "-smp", "2", "-device", "VGA,romfile="), ()),
    "pc": ("pc", DEVICES, ("events",)),
    "shared": ("pc,memory-backend=ram", SHARED, ("x-ignore-shared", "validate-uuid")),
    "return-path": ("pc", (), ("return-path", "events")),
    "postcopy": ("pc", (), ("return-path", "postcopy-ram")),
    "mapped-ram": ("pc", (), ("mapped-ram",)),
}


def record(program, setting):
    """Return the version of the QEMU, and its stream."""
    machine, arguments, capabilities = SETTINGS[setting]
    with tempfile.TemporaryDirectory() as directory:
        bios, path = os.path.join(directory, "bios"), os.path.join(directory, "stream")
        with open(bios, "wb") as file:
            file.write(bytes(64 << 10))
        argv = [*program, *BARE, "-machine", machine, "-m", "1", "-bios", bios, *arguments]
        with Emulator(argv) as qemu:
            states = [{"capability": name, "state": True} for name in capabilities]
            qemu.execute("migrate-set-capabilities", capabilities=states)
            to_file = "mapped-ram" in capabilities
            stream = _from_file(qemu, path) if to_file else _from_socket(qemu, path)
            version = qemu.greeting["version"]["qemu"]
    return "{major}.{minor}".format(**version), stream


def _wait_completed(qemu) -> None:
    while (info := qemu.execute("query-migrate"))["status"] != "completed":
        if info["status"] == "failed":
            raise QMPError(info.get("error-desc", "failed"))


def _from_file(qemu, path):
    qemu.execute("migrate", uri=f"file:{path}")
    _wait_completed(qemu)
    with open(path, "rb") as file:
        return file.read()


def _from_socket(qemu, path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(TIMEOUT)
        listener.bind(path)
        listener.listen()
        qemu.execute("migrate", uri=f"unix:{path}")
        peer, _ = listener.accept()
    with peer:
        peer.settimeout(TIMEOUT)
        stream, search = bytearray(), Search()
        while search.look(stream) is None:
            stream += peer.recv(1 << 16)
        with suppress(BrokenPipeError):  # without a return path nobody listens
            peer.sendall(vmmessage.frame(vmmessage.RETURN_SHUT, bytes(4)))
        _wait_completed(qemu)
    return bytes(stream)


def main(program) -> None:
    if not program:
        sys.exit("usage: python tests/streams QEMU…")
    for setting in SETTINGS:
        try:
            version, stream = record(program, setting)
        except QMPError as error:
            sys.stdout.write(f"{setting}: not recorded: {error}\n")
            continue
        path = os.path.join(DATA, f"stream-{version}-{setting}.xz")
        with open(path, "wb") as file:
            file.write(lzma.compress(stream, preset=9 | lzma.PRESET_EXTREME))
        sizes = f"{len(stream)} bytes, {os.path.getsize(path)} compressed"
        sys.stdout.write(f"{path}: {sizes}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
