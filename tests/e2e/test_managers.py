"""Command lines as Proxmox VE, Incus and Kata Containers write them start a machine.

Left out: a TAP, which would need a network, and sockets to servers that are not here.
"""

import shlex
from pathlib import Path

import pytest

LINES = Path(__file__).with_name("managers")
IMAGE = 64 << 20  # bytes


@pytest.fixture
def start(make_machine, tmp_path):
    """Start a machine as that manager would; what it names stands in `tmp_path`."""
    for name in ("disk.raw", "img"):
        with open(tmp_path / name, "wb") as image:
            image.truncate(IMAGE)

    def start(manager):
        for file in LINES.iterdir():
            text = file.read_text().replace("{place}", str(tmp_path))
            (tmp_path / file.name).write_text(text)
        return make_machine(*shlex.split((tmp_path / f"{manager}.args").read_text()))

    return start


@pytest.mark.parametrize("manager", ["proxmox", "incus", "kata"])
def test_its_machine_starts_and_runs(start, manager):
    machine = start(manager)
    machine.execute("cont")
    assert machine.execute("query-status")["running"]
    assert machine.execute("query-pci")[0]["devices"]


def test_proxmox_finds_what_it_asks_for(start):
    machine = start("proxmox")
    assert machine.execute("query-vnc")["auth"] == "vnc"
    machine.execute("set_password", protocol="vnc", password="secret")
    assert machine.execute("query-balloon")["actual"] == 2 << 30
    drives = {each["qdev"]: each for each in machine.execute("query-block")}
    assert drives["scsi0"]["inserted"]["node-name"] == "drive-scsi0"
    named = {each["name"] for each in machine.execute("qom-list", path="/machine/peripheral")}
    assert {"net0", "balloon0", "scsi0", "virtioscsi0", "watchdog0", "vga"} <= named
