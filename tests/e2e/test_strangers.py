"""Migration channels are not for other users, not even through a socket they may open."""

from __future__ import annotations

import ctypes
import os
import socket
import tempfile
import threading

import pytest

SETRESUID = 117  # Linux arch/x86/entry/syscalls/syscall_64.tbl
NOBODY = 65534


def as_nobody(action) -> None:
    """Run `action` in a thread of another user: the system call itself changes only its caller."""

    def run() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(SETRESUID, -1, NOBODY, -1):
            errors.append(OSError(ctypes.get_errno(), "no other user can be had here"))
            return
        action()

    errors: list[OSError] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        pytest.skip(str(errors[0]))


@pytest.fixture
def open_directory():
    """A directory that others may enter."""
    with tempfile.TemporaryDirectory(prefix="qemu-sim-") as path:
        os.chmod(path, 0o711)
        yield path


def test_a_stranger_is_turned_away(world, open_directory):
    """The destination goes on waiting for its source."""
    source, destination = world.pair()
    path = f"{open_directory}/incoming"
    destination.execute("migrate-incoming", uri=f"unix:{path}")
    os.chmod(path, 0o666)  # otherwise nobody else gets as far as that
    answers = []

    def knock() -> None:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(10)
            stranger.connect(path)
            answers.append(stranger.recv(1))

    as_nobody(knock)
    assert answers == [b""]
    world.migrate(source, f"unix:{path}")
    source.wait_event("MIGRATION", status="completed")
    world.served_by(destination, source)


def test_nothing_is_sent_to_a_stranger(world, open_directory):
    source = world.source()
    world.use_disk(source)
    path = f"{open_directory}/stranger"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        as_nobody(lambda: listener.listen(1))  # whose credentials the peer is shown
        world.migrate(source, f"unix:{path}")
        source.wait_event("MIGRATION", status="failed")
        text = "the peer of the migration channel belongs to another user"
        assert source.query_migrate().error_desc == text
    world.served_by(source)
