"""RAM of a qemu-sim without devices goes to a real QEMU, whose firmware then starts anew.

It shows that the stream is framed as QEMU's is; of devices the two know nothing in common.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from qemu_sim.qapi.emulator import Emulator
from qemu_sim.testing.listening import wait_for_listener

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed")

TIMEOUT = 20  # seconds
PROFILES = ("7.2", "11.1")
RAM = ("-machine", "q35,memory-backend=ram", "-m", "64")
RAM += ("-object", "memory-backend-ram,id=ram,size=64M")
BARE = ("-nodefaults", "-display", "none", "-accel", "tcg")
START, SIZE = 1 << 20, 32 << 20


@pytest.fixture
def qemu_sim_mode():
    return "daemon"


@pytest.fixture
def destination():
    qemu = Emulator([QEMU, *BARE, *RAM, "-S", "-incoming", "defer"])
    yield qemu
    qemu.close()


@pytest.fixture
def machines(make_machine, destination, tmp_path):
    """Return a qemu-sim with something in its RAM, and the real QEMU that waits for it."""
    version = "{major}.{minor}".format(**destination.greeting["version"]["qemu"])
    if version not in PROFILES:
        pytest.skip(f"no profile of QEMU {version}")
    path = str(tmp_path / "qtest")
    qtest = ("-qtest", f"unix:{path},server=on,wait=off")
    machine = make_machine("-sim", f"profile={version}", "-nodefaults", *RAM, *qtest)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        for at in range(START, START + SIZE, SIZE // 64):
            sock.sendall(f"memset {at:#x} {SIZE // 128:#x} {at >> 18 & 0xFF:#x}\n".encode())
            assert sock.recv(100) == b"OK\n"
    return machine, destination


def memory(execute, path):
    execute("pmemsave", val=START, size=SIZE, filename=str(path))
    return path.read_bytes()


def ended(machine):
    """Wait until its migration has, and return how."""
    end = time.monotonic() + TIMEOUT
    while (status := machine.execute("query-migrate").get("status")) not in ("completed", "failed"):
        assert time.monotonic() < end, status
        time.sleep(0.02)
    return status


@pytest.fixture(params=["unix", "tcp"])
def uri(request, tmp_path):
    if request.param == "unix":
        return f"unix:{tmp_path}/migration"
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"tcp:127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize(
    ("capabilities", "parameters"),
    [
        ((), {}),
        (("return-path",), {}),
        (("multifd",), {"multifd-channels": 5}),
        (("multifd", "return-path"), {"multifd-channels": 1, "multifd-compression": "zlib"}),
    ],
    ids=["plain", "answered", "multifd", "zlib"],
)
def test_what_is_in_ram_arrives(machines, capabilities, parameters, uri, tmp_path):
    source, destination = machines
    states = [{"capability": name, "state": True} for name in capabilities]
    for each in machines:
        each.execute("migrate-set-capabilities", capabilities=states)
        each.execute("migrate-set-parameters", **parameters)
    destination.execute("migrate-incoming", uri=uri)
    source.execute("migrate", uri=uri)
    assert (ended(source), ended(destination)) == ("completed", "completed")
    same_memory(machines, tmp_path)
    assert destination.execute("query-status")["status"] == "paused"
    assert source.execute("query-status")["status"] == "postmigrate"


def same_memory(machines, tmp_path):
    source, destination = machines
    there = memory(destination.execute, tmp_path / "there")
    assert there == memory(source.execute, tmp_path / "here")


def test_a_file_with_places_is_read(machines, tmp_path):
    source, destination = machines
    states = [{"capability": "mapped-ram", "state": True}]
    if destination.greeting["version"]["qemu"]["major"] < 9:
        pytest.skip("this QEMU has no mapped-ram")
    uri = f"file:{tmp_path}/saved,offset=4096"
    for machine, command in ((source, "migrate"), (destination, "migrate-incoming")):
        machine.execute("migrate-set-capabilities", capabilities=states)
        machine.execute(command, uri=uri)
        assert ended(machine) == "completed"
    same_memory(machines, tmp_path)


@pytest.mark.usefixtures("knows_cpr_transfer")
def test_ram_that_stays_where_it_is(make_machine, tmp_path):
    """The real one is made around our RAM, by descriptor."""
    shared = ("-machine", "q35,memory-backend=ram,aux-ram-share=on", "-m", "1")
    shared += ("-object", "memory-backend-memfd,id=ram,size=1M,share=on")
    channels = [
        {"channel-type": kind, "addr": {"transport": "socket", "type": "unix", "path": path}}
        for kind, path in (("main", f"{tmp_path}/main"), ("cpr", f"{tmp_path}/cpr"))
    ]
    incoming = [word for each in channels for word in ("-incoming", json.dumps(each))]
    source = make_machine("-nodefaults", *shared)
    source.execute("migrate-set-parameters", mode="cpr-transfer")
    with ThreadPoolExecutor() as pool:
        starting = pool.submit(Emulator, [QEMU, *BARE, *shared, "-S", *incoming])
        wait_for_listener(f"{tmp_path}/cpr", TIMEOUT)
        source.execute("migrate", channels=channels)
        destination = starting.result()
    try:
        assert (ended(source), ended(destination)) == ("completed", "completed")
        assert destination.execute("query-status")["status"] == "paused"
        fds = f"/proc/{destination.pid}/fd"
        assert any("guest-ram" in os.readlink(f"{fds}/{name}") for name in os.listdir(fds))
    finally:
        destination.close()
