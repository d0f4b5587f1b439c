"""A real QEMU boots from the embedded server: someone else's front end and driver."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest

QEMU = "qemu-system-x86_64"
# A boot sector that reads the disk's second sector to 0x7e00 by the BIOS, writes the 16
# bytes it finds there to the debug console, writes its own sector to the fourth, and halts.
BOOT = bytes.fromhex(
    "31c08ed88ec0fc"  # xor ax,ax; mov ds,ax; mov es,ax; cld
    "b80102bb007eb90200b600cd13"  # int 13h, read 1 sector, cylinder 0, sector 2
    "be007eb91000"  # mov si,0x7e00; mov cx,16
    "ace6e9e2fb"  # lodsb; out 0xe9,al; loop
    "b80103bb007cb90400b600cd13"  # int 13h, write 1 sector from 0x7c00 to sector 4
    "b021e6e9"  # mov al,'!'; out 0xe9,al
    "f4ebfd"  # hlt; jmp
)


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_a_guest_boots_and_writes(server, tmp_path):
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed")
    sector = BOOT.ljust(510, b"\0") + b"\x55\xaa"
    server.write_image(0, sector + b"sixteen bytes ok")
    console = tmp_path / "console"
    arguments = ["-display", "none", "-nodefaults", "-m", "64", "-accel", "tcg"]
    arguments += ["-object", "memory-backend-memfd,id=ram,size=64M,share=on"]
    arguments += ["-machine", "q35,memory-backend=ram", "-debugcon", f"file:{console}"]
    arguments += ["-chardev", f"socket,id=disk,path={server.path}"]
    arguments += ["-device", "vhost-user-blk-pci,chardev=disk,num-queues=2,bootindex=0"]
    with subprocess.Popen([QEMU, *arguments], stderr=subprocess.PIPE, text=True) as qemu:
        try:
            deadline = time.monotonic() + 30
            while not console.exists() or not console.read_bytes().endswith(b"!"):
                assert qemu.poll() is None, qemu.stderr.read()
                assert time.monotonic() < deadline, server.log()
                time.sleep(0.02)
        finally:
            qemu.terminate()
    assert console.read_bytes() == b"sixteen bytes ok!"
    assert server.read_image(3 * 512, 512) == sector
    assert os.path.exists(server.path)
    assert not [entry for entry in server.log() if entry["event"] == "error"]
