"""A profile made from the real QEMU of this machine, written, loaded and used."""

import os
import shutil

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi import plugged
from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.device_properties import parse_device_properties
from qemu_sim.qapi.emulator import Emulator, EmulatorGone
from qemu_sim.qapi.record import record, write_record

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
needs_qemu = pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed")


FEW = ("e1000", "pcie-root-port", "usb-kbd", "nvme", "virtio-rng-pci", "pxb-pcie")


@pytest.fixture
def few_devices(monkeypatch):
    """Plug only some types: each takes up to three starts at three places."""

    def places(types, name):
        return plugged_types(types, name) if name in FEW else ()

    plugged_types = plugged._places
    monkeypatch.setattr(plugged, "_places", places)


@needs_qemu
@pytest.mark.usefixtures("few_devices")
def test_a_recorded_profile_can_be_used(tmp_path):
    recorded = record([QEMU])
    path = str(tmp_path / "mine.profile")
    write_record(path, recorded)
    profile = profiles.load(path)

    with Emulator([QEMU, "-machine", "none", "-nodefaults", "-display", "none"]) as emulator:
        version = emulator.execute("query-version")
        assert profile.package == version["package"]
        assert profile.version == tuple(version["qemu"][key] for key in ("major", "minor", "micro"))
        listed = emulator.execute("device-list-properties", typename="virtio-net-pci")
        assert profile.device_properties.get("virtio-net-pci") == listed
        types = emulator.execute("qom-list-types", abstract=False)
    # Types that QEMU aborts over when it is asked about them have no entry.
    missing = [each["name"] for each in types if each["name"] not in profile.qom_properties]
    assert len(missing) < 10
    with pytest.raises(QMPError, match="Parameter 'id' is missing"):
        profile.schema.check_arguments("device_del", {})
    assert parse_device_properties(profile, "virtio-net-pci", {"mq": "on"}) == {"mq": True}
    _compare_devices(profile)


def _compare_devices(profile):
    """Compare with the shipped profile of the same version, if there is one."""
    shipped = {profiles.load(name).version: profiles.load(name) for name in profiles.shipped()}
    assert profile.plugged["q35"]["nvme"]["refused"] == "serial property not set"
    assert profile.plugged["port"]["e1000"]["pci"]["id"]["device"] == 0x100E
    for place, facts in profile.plugged.items():
        for kind in facts.keys() & set(FEW) if profile.version in shipped else ():
            assert facts[kind] == shipped[profile.version].plugged[place][kind], (place, kind)


def test_a_program_that_is_no_qemu_is_named():
    with pytest.raises(EmulatorGone, match=r"^/bin/false gave no answer to start"):
        record(["/bin/false"])
    with pytest.raises(FileNotFoundError):
        record(["/no/such/program"])
