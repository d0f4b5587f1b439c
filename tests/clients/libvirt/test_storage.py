"""A domain moves to another host and takes the contents of its disks along, over NBD."""

import os
import shutil
import subprocess
import time

import pytest

MIB = 1 << 20
SECONDS = 60
DISK = """
    <disk type='file' device='disk'>
      <driver name='qemu' type='{driver}' discard='unmap'/>
      <source file='{path}'/>
      <target dev='{name}' bus='virtio'/>
    </disk>
"""


@pytest.fixture
def make_image(tmp_path):
    """Make a raw image, or a qcow2 one with the same contents as a raw one."""

    def make(name, driver, contents=b""):
        path = tmp_path / name
        path.write_bytes(contents)
        os.truncate(path, 8 * MIB)
        if driver == "raw":
            return path
        if shutil.which("qemu-img") is None:
            pytest.skip("qemu-img is not installed")
        converted = path.with_suffix(f".{driver}")
        command = ["qemu-img", "convert", "-f", "raw", "-O", driver, path, converted]
        subprocess.run(command, check=True)
        return converted

    return make


def contents(path, driver):
    if driver == "raw":
        return path.read_bytes()
    plain = path.with_suffix(".plain")
    subprocess.run(
        ["qemu-img", "convert", "-U", "-f", driver, "-O", "raw", path, plain], check=True
    )
    return plain.read_bytes()


def disks(images, driver):
    names = ("vda", "vdb")
    return "".join(
        DISK.format(driver=driver, path=path, name=name)
        for name, path in zip(names, images, strict=False)
    )


@pytest.fixture
def make_domain(libvirt, other, make_image, tmp_path):
    """Start a domain with disks; returns the images it will have there, and how to migrate it."""

    def make(data, driver):
        here = [make_image(f"here{number}", driver, each) for number, each in enumerate(data)]
        there = [make_image(f"there{number}", driver) for number in range(len(data))]
        libvirt.define(disks(here, driver))
        libvirt.virsh("start", "guest")
        description = libvirt.virsh("dumpxml", "--migratable", "guest")
        for source, target in zip(here, there, strict=True):
            description = description.replace(str(source), str(target))
        (tmp_path / "there.xml").write_text(description)
        command = ("migrate", "--live", "--copy-storage-all", "--xml", str(tmp_path / "there.xml"))
        return there, (*command, "guest", other.uri, "tcp://127.0.0.1")

    return make


@pytest.mark.parametrize("driver", ["raw", "qcow2"])
def test_the_disks_are_copied(libvirt, other, make_domain, driver):
    data = [os.urandom(3 * MIB), bytes(5 * MIB) + os.urandom(MIB)]
    there, migrate = make_domain(data, driver)
    with libvirt.knowing_migrate():
        libvirt.virsh(*migrate)
    assert libvirt.virsh("domstate", "guest") == "shut off"
    assert other.virsh("domstate", "guest") == "running"
    for each, path in zip(data, there, strict=True):
        assert contents(path, driver) == each.ljust(8 * MIB, b"\0")
    assert str(there[0]) in other.virsh("domblklist", "guest")
    other.virsh("destroy", "guest")


def test_a_copy_is_aborted(libvirt, other, make_domain):
    """It is slow enough for that; the domain stays, and its disks are free for the next job."""
    _, migrate = make_domain([os.urandom(8 * MIB)], "raw")
    copying = libvirt.begin(*migrate, "--bandwidth", "1")
    try:
        deadline = time.monotonic() + SECONDS
        while not libvirt.qmp("query-block-jobs"):
            with libvirt.knowing_migrate():
                assert copying.poll() is None, copying.communicate()[1]
            assert time.monotonic() < deadline
        libvirt.virsh("domjobabort", "guest")
        assert "canceled by client" in copying.communicate(timeout=SECONDS)[1]
    finally:
        copying.kill()
        copying.communicate()
    assert libvirt.virsh("domstate", "guest") == "running"
    assert libvirt.qmp("query-block-jobs") == []
    assert other.virsh("list", "--all", "--name") == ""


def test_only_what_differs_is_copied(libvirt, other, make_image, tmp_path):
    """From an image to another one on the same backing file."""
    base = make_image("base", "qcow2", os.urandom(2 * MIB))
    images = [tmp_path / f"{place}.qcow2" for place in ("here", "there")]
    for path in images:
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path]
        subprocess.run(command, check=True)
    subprocess.run(["qemu-io", "-c", "write -q -P 7 1M 3M", images[0]], check=True)
    expected = contents(images[0], "qcow2")
    libvirt.define(disks(images[:1], "qcow2"))
    libvirt.virsh("start", "guest")
    description = libvirt.virsh("dumpxml", "--migratable", "guest")
    (tmp_path / "there.xml").write_text(description.replace(*map(str, images)))
    with libvirt.knowing_migrate():
        libvirt.virsh(
            *("migrate", "--live", "--copy-storage-inc", "--xml", str(tmp_path / "there.xml")),
            *("guest", other.uri, "tcp://127.0.0.1"),
        )
    assert contents(images[1], "qcow2") == expected
    assert images[1].stat().st_blocks * 512 < 4 * MIB
    other.virsh("destroy", "guest")
