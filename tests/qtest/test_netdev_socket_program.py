"""What QEMU's own test program netdev-socket does. QEMU: tests/qtest/netdev-socket.c"""

import os
import time

import pytest

BARE = "-nodefaults -M none"


def shown(emulator, expected):
    """Wait until `info network` is `expected`."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        command = {"command-line": "info network"}
        text = emulator.execute("human-monitor-command", **command)["return"]
        if text == expected:
            return
        time.sleep(0.01)
    assert text == expected


@pytest.mark.parametrize("abstract", ["", ",addr.abstract=on"])
def test_stream(start, folder, abstract):
    path = os.path.join(folder, "stream")
    address = f"addr.type=unix,addr.path={path}{abstract}"
    server = start(f"{BARE} -netdev stream,id=st0,server=true,{address}").negotiate()
    shown(server, "st0: index=0,type=stream,listening\r\n")
    client = start(f"{BARE} -netdev stream,id=st0,server=false,{address}").negotiate()
    for emulator in (client, server):
        shown(emulator, f"st0: index=0,type=stream,unix:{path}\r\n")


def test_reconnect(start, folder):
    address = f"addr.type=unix,addr.path={os.path.join(folder, 'stream')}"
    server = start(f"{BARE} -netdev stream,id=st0,server=true,{address}").negotiate()
    again = f"{BARE} -netdev stream,id=st0,server=false,{address},reconnect-ms=100"
    client = start(again).negotiate()
    server.wait_event("NETDEV_STREAM_CONNECTED")
    server.end()
    client.wait_event("NETDEV_STREAM_DISCONNECTED")
    server = start(f"{BARE} -netdev stream,id=st0,server=true,{address}").negotiate()
    server.wait_event("NETDEV_STREAM_CONNECTED")
    client.wait_event("NETDEV_STREAM_CONNECTED")


def test_dgram(start, folder):
    places = [os.path.join(folder, name) for name in "ab"]
    local, remote = (f"{end}.type=unix,{end}.path=" for end in ("local", "remote"))
    for one, other in (places, reversed(places)):
        arguments = f"{BARE} -netdev dgram,id=st0,{local}{one},{remote}{other}"
        shown(start(arguments).negotiate(), f"st0: index=0,type=dgram,udp={one}:{other}\r\n")
