"""A domain with what most domains have, and what is changed of it while it runs."""

import os
import shutil
import subprocess

import pytest

FULL = """
    <controller type='pci' model='pcie-root'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='usb' model='qemu-xhci'/>
    <controller type='virtio-serial'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{place}/disk'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/><source file='{place}/cd1'/><target dev='sda' bus='sata'/>
    </disk>
    <interface type='user'>
      <mac address='52:54:00:00:00:01'/><model type='virtio'/>
    </interface>
    <serial type='pty'/>
    <console type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <input type='tablet' bus='usb'/>
    <memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
"""
PLUGGED = {
    "NIC": "<interface type='user'><mac address='52:54:00:00:00:02'/><model type='virtio'/></interface>",
    "DIMM": "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>",
    "keyboard": "<input type='keyboard' bus='usb'/>",
    "channel": "<channel type='unix'><source mode='bind' path='{place}/c'/>"
    "<target type='virtio' name='org.x.0'/></channel>",
    "source of random numbers": "<rng model='virtio'><backend model='builtin'/></rng>",
}


@pytest.fixture
def full(libvirt, tmp_path):
    """A running domain with what most domains have, but for a screen."""
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is not installed")
    for name, kind in (("disk", "qcow2"), ("cd1", "raw"), ("cd2", "raw")):
        image = str(tmp_path / name)
        subprocess.run(["qemu-img", "create", "-q", "-f", kind, image, "8M"], check=True)
    libvirt.define(FULL.format(place=tmp_path))
    libvirt.virsh("start", "guest")
    return libvirt


def test_what_every_domain_has(full, tmp_path):
    assert os.path.exists(full.virsh("ttyconsole", "guest"))
    with pytest.raises(AssertionError, match="QEMU guest agent is not connected"):
        full.virsh("qemu-agent-command", "guest", '{"execute":"guest-ping"}')
    for device in PLUGGED.values():
        description = tmp_path / "device.xml"
        description.write_text(device.format(place=tmp_path))
        before = full.virsh("dumpxml", "guest")
        full.virsh("attach-device", "guest", str(description), "--live")
        assert full.virsh("dumpxml", "guest") != before
        full.virsh("detach-device", "guest", str(description), "--live")
        assert full.virsh("dumpxml", "guest") == before


@pytest.mark.usefixtures("can_migrate")
def test_what_was_plugged_is_restored(full, tmp_path):
    full.virsh("setvcpus", "guest", "3", "--live")
    for number, device in enumerate(PLUGGED.values()):
        description = tmp_path / f"device{number}"
        description.write_text(device.format(place=tmp_path))
        full.virsh("attach-device", "guest", str(description), "--live")
    with full.knowing_migrate():
        full.virsh("save", "guest", str(tmp_path / "saved"))
    full.virsh("restore", str(tmp_path / "saved"))
    assert len(full.qmp("query-cpus-fast")) == 3
    for number in range(len(PLUGGED)):
        full.virsh("detach-device", "guest", str(tmp_path / f"device{number}"), "--live")
    assert full.qmp("query-memory-devices") == []


def test_a_running_domain_is_changed(full):
    full.virsh("domif-setlink", "guest", "52:54:00:00:00:01", "down")
    assert full.virsh("domif-getlink", "guest", "52:54:00:00:00:01").endswith("down")
    full.virsh("setvcpus", "guest", "3", "--live")
    assert full.virsh("vcpuinfo", "guest").count("running") == 3
    full.virsh("setvcpus", "guest", "2", "--live")
    assert len(full.qmp("query-cpus-fast")) == 2
    full.virsh("iothreadadd", "guest", "5")
    full.virsh("iothreadset", "guest", "5", "--poll-max-ns", "1000")
    (thread,) = full.qmp("query-iothreads")
    assert thread["poll-max-ns"] == 1000
    full.virsh("iothreaddel", "guest", "5")
    full.virsh("dommemstat", "guest", "--period", "2", "--live")
    assert full.virsh("dommemstat", "guest").startswith("actual 65536")


def test_disks_of_a_running_domain(full, tmp_path):
    full.virsh("blkdeviotune", "guest", "vda", "--total-iops-sec", "100", "--live")
    assert "total_iops_sec : 100" in full.virsh("blkdeviotune", "guest", "vda")
    full.virsh("blockresize", "guest", "vda", "16M")
    assert f"Capacity:       {16 << 20}" in full.virsh("domblkinfo", "guest", "vda")
    full.virsh("change-media", "guest", "sda", str(tmp_path / "cd2"), "--live")
    assert full.virsh("domblklist", "guest").split()[-1] == str(tmp_path / "cd2")
    spec = f"vda,file={tmp_path / 'overlay'}"
    full.virsh("snapshot-create-as", "guest", "s1", "--disk-only", "--diskspec", spec)
    assert full.virsh("domblklist", "guest").split()[1] == str(tmp_path / "overlay")
    full.virsh("blockcommit", "guest", "vda", "--active", "--pivot", "--wait")
    assert full.virsh("domblklist", "guest").split()[1] == str(tmp_path / "disk")
    copy = str(tmp_path / "copy")
    full.virsh("blockcopy", "guest", "vda", copy, "--transient-job", "--wait", "--pivot")
    assert full.virsh("domblklist", "guest").split()[1] == copy
    full.virsh("dump", "--memory-only", "guest", str(tmp_path / "core"))
    assert (tmp_path / "core").read_bytes()[:4] == b"\x7fELF"
    full.virsh("destroy", "guest")
    full.virsh("undefine", "guest", "--snapshots-metadata")
