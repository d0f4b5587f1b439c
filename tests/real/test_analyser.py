"""QEMU's own analyser of migration streams, scripts/analyze-migration.py, reads ours.

It is a part of QEMU's source that no package has: QEMU_SIM_ANALYSER says where it is, or
else it is looked for beside Python and on the PATH. What it takes out of the stream as
guest RAM must be what the guest had.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

NAME = "analyze-migration.py"
PLACES = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
ANALYSER = os.environ.get("QEMU_SIM_ANALYSER") or shutil.which(NAME, path=PLACES)
pytestmark = pytest.mark.skipif(
    ANALYSER is None, reason=f"no {NAME}, from QEMU's source: QEMU_SIM_ANALYSER says where it is"
)

TIMEOUT = 30  # seconds
PAGE, SIZE = 4096, 2 << 20
UUID = "5e9f6b0e-0a8c-4c5e-9d5c-3f3a1f0b7c11"
WRITTEN = {PAGE + 100: b"first", SIZE // 2: b"middle" * PAGE, SIZE - 5: b"last."}
DEVICES = (
    *("-netdev", "hubport,id=net0,hubid=0", "-device", "virtio-net-pci,id=nic0,netdev=net0"),
    *("-blockdev", "null-co,node-name=d0,read-zeroes=on"),
    *("-device", "virtio-blk-pci,id=disk0,drive=d0", "-device", "virtio-balloon-pci"),
)
SHARED = ("-object", f"memory-backend-memfd,id=ram,size={SIZE},share=on")
# Machine, more arguments, capabilities; the RAM's name in the stream.
CONFIGURATIONS = {
    "pc": (("pc", ()), (), "pc.ram"),
    "q35": (("q35", ("-smp", "2", *DEVICES)), ("events",), "pc.ram"),
    "shared": (("pc,memory-backend=ram", SHARED), (), "ram"),
    "uuid": (("pc", ("-uuid", UUID)), ("validate-uuid",), "pc.ram"),
    "all": (
        ("q35,memory-backend=ram", (*SHARED, "-uuid", UUID, *DEVICES)),
        ("validate-uuid", "auto-converge", "events"),
        "ram",
    ),
    "xbzrle": (("pc", ()), ("xbzrle",), "pc.ram"),
}
WAYS = {"file": "file:{0}", "exec": "exec:cat >{0}.part; mv {0}.part {0}"}
UNREADABLE = ("uuid", "all")


def analyse(stream, *arguments, cwd):
    return subprocess.run(
        [sys.executable, ANALYSER, "-f", stream, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.fixture
def save(make_machine, tmp_path):
    """Migrate a machine to a file; returns what its RAM held."""

    def run(profile, configuration, way, path):
        (machine, arguments), capabilities, _ = CONFIGURATIONS[configuration]
        qtest, dump = str(tmp_path / "qtest"), str(tmp_path / "dump")
        source = make_machine(
            *("-M", machine, "-m", "2", *arguments, "-qtest", f"unix:{qtest},server=on,wait=off"),
            *("-sim", f"profile={profile}"),
            name="source",
        )
        write(qtest)
        states = [{"capability": name, "state": True} for name in capabilities]
        source.execute("migrate-set-capabilities", capabilities=states)
        source.execute("stop")
        source.execute("pmemsave", val=0, size=SIZE, filename=dump)
        source.execute("migrate", uri=WAYS[way].format(path))
        end = time.monotonic() + TIMEOUT
        while (info := source.execute("query-migrate"))["status"] != "completed":
            assert time.monotonic() < end, info
        while not os.path.exists(path):  # a program ends later than the migration
            assert time.monotonic() < end
        with open(dump, "rb") as file:
            return file.read()

    return run


def write(path):
    with socket.socket(socket.AF_UNIX) as qtest:
        qtest.connect(path)
        for address, data in WRITTEN.items():
            qtest.sendall(f"write {address} {len(data)} 0x{data.hex()}\n".encode())
            assert qtest.recv(100) == b"OK\n"


CASES = [
    (profile, configuration, way)
    for profile, ways in (("11.1", ("file", "exec")), ("7.2", ("exec",)))
    for configuration in CONFIGURATIONS
    for way in ways
    if not (profile == "7.2" and configuration in UNREADABLE)
]


@pytest.mark.parametrize(("profile", "configuration", "way"), CASES)
def test_it_reads_the_devices_and_the_ram(save, tmp_path, profile, configuration, way):
    stream = str(tmp_path / "stream")
    ram = save(profile, configuration, way, stream)
    assert WRITTEN[SIZE - 5] == ram[-5:]
    told = analyse(stream, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    names = [name.rpartition(" ")[0] for name in json.loads(told.stdout)]
    assert names[:2] == ["ram", "globalstate"]
    extracted = analyse(stream, "-x", cwd=tmp_path)
    assert extracted.returncode == 0, extracted.stderr
    assert (tmp_path / CONFIGURATIONS[configuration][2]).read_bytes() == ram


@pytest.mark.parametrize("configuration", UNREADABLE)
def test_what_the_older_qemu_does_not_describe(save, golden_stream, tmp_path, configuration):
    """Its analyser cannot read that of QEMU 7.2 itself."""
    ours, theirs = (str(tmp_path / name) for name in ("ours", "theirs"))
    save("7.2", configuration, "exec", ours)
    with open(theirs, "wb") as file:
        file.write(golden_stream("7.2-shared"))
    for stream in (ours, theirs):
        told = analyse(stream, cwd=tmp_path)
        assert told.returncode == 1
        assert "Unknown section type: 5" in told.stderr
