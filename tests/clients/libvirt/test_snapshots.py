"""Internal snapshots of a domain whose disk is a qcow2 image."""

import shutil
import subprocess

import pytest

DISK = """
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{path}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
"""


@pytest.fixture
def image(tmp_path):
    """The path of an image, which others may use as well."""
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is not installed")
    path = tmp_path / "disk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
    return path


@pytest.fixture
def domain(libvirt, image):
    """A running domain."""
    libvirt.define(DISK.format(path=image))
    libvirt.virsh("start", "guest")
    yield libvirt
    for name in libvirt.virsh("snapshot-list", "guest", "--name").split():
        libvirt.virsh("snapshot-delete", "guest", name, "--metadata")


def kept(image):
    """Names of the snapshots that the image has."""
    listed = subprocess.run(
        ["qemu-img", "snapshot", "-U", "-l", image], check=True, capture_output=True, text=True
    )
    return [line.split()[1] for line in listed.stdout.splitlines()[2:]]


def names(domain):
    return domain.virsh("snapshot-list", "guest", "--name").split()


def test_a_life_with_snapshots(domain, image):
    domain.virsh("snapshot-create-as", "guest", "first")
    domain.virsh("snapshot-create-as", "guest", "second", "--description", "the other")
    assert domain.virsh("domstate", "guest") == "running"
    assert names(domain) == kept(image) == ["first", "second"]
    assert domain.virsh("snapshot-current", "guest", "--name") == "second"
    domain.virsh("suspend", "guest")
    domain.virsh("snapshot-revert", "guest", "first")
    assert domain.virsh("domstate", "guest") == "running"
    assert domain.virsh("snapshot-current", "guest", "--name") == "first"
    domain.virsh("snapshot-delete", "guest", "first")
    assert names(domain) == kept(image) == ["second"]
    domain.virsh("destroy", "guest")
    domain.virsh("snapshot-revert", "guest", "second", "--running")
    assert domain.virsh("domstate", "guest") == "running"
    domain.virsh("snapshot-revert", "guest", "second", "--paused")
    assert domain.virsh("domstate", "guest") == "paused"
    domain.virsh("snapshot-delete", "guest", "second")
    assert names(domain) == kept(image) == []
    domain.virsh("destroy", "guest")
    subprocess.run(["qemu-img", "check", "-q", image], check=True)


def test_a_snapshot_of_a_domain_that_is_off(domain, image):
    """libvirt has qemu-img take it; the domain then starts from it."""
    domain.virsh("destroy", "guest")
    domain.virsh("snapshot-create-as", "guest", "off")
    domain.virsh("start", "guest")
    domain.virsh("snapshot-create-as", "guest", "on")
    assert kept(image) == ["off", "on"]
    domain.virsh("snapshot-revert", "guest", "off")
    assert domain.virsh("domstate", "guest") == "shut off"
    domain.virsh("snapshot-delete", "guest", "off")
    assert kept(image) == ["on"]
