"""Whose a disk's image is at each moment of a migration: locks tell, as QEMU's do."""

from __future__ import annotations

import os

import pytest

from qemu_sim.block.image_lock import ImageLock
from qemu_sim.block.permissions import ALL, WRITE, Claim
from qemu_sim.errors import QMPError as Refused
from qemu_sim.fds import Fd
from qemu_sim.testing import QMPError

pytestmark = pytest.mark.parametrize("backend_transfer", [True, False])


class Stranger:
    """A process that wants to write to the image, alone."""

    def __init__(self, path):
        self._path = str(path)
        self._fd = None

    def takes(self):
        """Whether it gets the image, which it keeps then."""
        fd = Fd(os.open(self._path, os.O_RDWR))
        try:
            lock = ImageLock(fd, self._path)
            lock.reserve(Claim(WRITE, ALL & ~WRITE))
            lock.settle(Claim(WRITE, ALL & ~WRITE))
        except Refused:
            fd.close()
            return False
        self._fd = fd
        return True

    def leaves(self):
        if self._fd is not None:
            self._fd.close()
            self._fd = None


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(1 << 20))
    return path


@pytest.fixture
def stranger(image):
    made = Stranger(image)
    yield made
    made.leaves()


@pytest.fixture
def pair(make_machine, image):
    """Two machines on one image; the second waits for the first."""
    disk = (
        *("-M", "q35", "-m", "2", "-blockdev"),
        f"driver=raw,node-name=n,file.driver=file,file.filename={image}",
        *("-device", "virtio-blk-pci,id=d,drive=n"),
    )
    return make_machine(*disk), make_machine(*disk, "-incoming", "defer")


def status(machine):
    return machine.execute("query-status")["status"]


def is_active(machine):
    return {node["active"] for node in machine.execute("query-named-block-nodes", flat=True)}


def test_the_image_goes_with_the_machine(pair, stranger, backend_transfer):
    source, destination = pair
    source.hold("stopped")
    source.hold("device-sent")
    migration = source.start_migration(destination, backend_transfer=backend_transfer)
    source.wait_held("stopped")
    assert not stranger.takes()
    assert source.step() == "device"
    assert not stranger.takes()
    assert source.step() == "device-sent"
    assert stranger.takes()
    stranger.leaves()
    source.release()
    migration.wait()
    assert (status(source), status(destination)) == ("postmigrate", "running")
    assert not stranger.takes()
    assert (is_active(source), is_active(destination)) == ({False}, {True})
    source.close()
    assert not stranger.takes()


def test_the_image_comes_back_with_the_machine(pair, stranger, backend_transfer):
    source, destination = pair
    source.hold("device-sent")
    migration = source.start_migration(destination, backend_transfer=backend_transfer)
    source.wait_held("device-sent")
    source.execute("migrate_cancel")
    assert migration.wait().source.status == "cancelled"
    assert status(source) == "running"
    assert not stranger.takes()


def test_who_cannot_have_the_image_back_stays_stopped(pair, stranger, backend_transfer):
    source, destination = pair
    source.hold("device-sent")
    migration = source.start_migration(destination, backend_transfer=backend_transfer)
    source.wait_held("device-sent")
    assert stranger.takes()
    source.execute("migrate_cancel")
    assert migration.wait().source.status == "cancelled"
    assert status(source) == "finish-migrate"


def test_a_destination_that_cannot_have_the_image_arrives_paused(pair, stranger, backend_transfer):
    source, destination = pair
    source.hold("device-sent")
    migration = source.start_migration(destination, backend_transfer=backend_transfer)
    source.wait_held("device-sent")
    assert stranger.takes()
    source.release()
    migration.wait()
    assert status(destination) == "paused"
    with pytest.raises(QMPError, match='Failed to get "write" lock'):
        destination.execute("cont")
    stranger.leaves()
    destination.execute("cont")
    assert status(destination) == "running"
    assert not stranger.takes()
