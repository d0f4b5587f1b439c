"""A domain from its definition to its end, and what is plugged into it."""


def test_a_life(libvirt):
    libvirt.define()
    libvirt.virsh("start", "guest")
    assert libvirt.virsh("domstate", "guest") == "running"
    libvirt.virsh("suspend", "guest")
    assert libvirt.virsh("domstate", "guest") == "paused"
    assert libvirt.qmp("query-status")["status"] == "paused"

    libvirt.stop()
    libvirt.start()

    assert libvirt.virsh("list", "--name") == "guest"
    libvirt.virsh("resume", "guest")
    assert libvirt.virsh("domstate", "guest") == "running"
    libvirt.virsh("reset", "guest")
    libvirt.virsh("send-key", "guest", "KEY_A")
    assert "vcpu.current=2" in libvirt.virsh("domstats", "guest")
    assert libvirt.virsh("vcpuinfo", "guest").count("running") == 2
    libvirt.virsh("destroy", "guest")
    assert libvirt.virsh("domstate", "guest") == "shut off"
    libvirt.virsh("undefine", "guest")
    assert libvirt.virsh("list", "--all", "--name") == ""


def test_a_disk_is_used_unplugged_and_plugged(libvirt, disk, tmp_path):
    (tmp_path / "disk.xml").write_text(disk)
    libvirt.define(disk)
    libvirt.virsh("start", "guest")
    libvirt.qmp("x-sim-guest-io", device="virtio-disk0", enable=True)
    libvirt.qmp("x-sim-guest-io", device="virtio-disk0", enable=False)
    (report,) = libvirt.qmp("x-sim-query-guest")
    assert report["requests"] > 0
    assert report["errors"] == 0

    libvirt.virsh("detach-disk", "guest", "vda", "--live")
    assert libvirt.virsh("domblklist", "guest") == ""
    libvirt.virsh("attach-device", "guest", str(tmp_path / "disk.xml"), "--live")
    assert libvirt.virsh("domblklist", "guest").split()[0] == "vda"
    libvirt.virsh("destroy", "guest")
    libvirt.virsh("undefine", "guest")
