"""Machines with a VNC display, and clients of it."""

import socket

import pytest

from qemu_sim.wire.rfb import VERSION

TIMEOUT = 20  # seconds


class Viewer:
    """A client that says just what a test wants."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(TIMEOUT)
        assert self.read(len(VERSION)) == VERSION

    def read(self, size):
        data = b""
        while len(data) < size and (more := self.sock.recv(size - len(data))):
            data += more
        return data

    def enter(self, *, shared=True):
        """Return what describes the screen, and the window's title."""
        self.sock.sendall(b"RFB 003.008\n\1" + bytes([shared]))
        assert self.read(6) == b"\1\1\0\0\0\0"
        screen = self.read(20)
        return screen, self.read(int.from_bytes(self.read(4)))

    def has_ended(self):
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def viewers():
    """Call it with the path of a display, or with a socket that leads to one."""
    made = []

    def view(path):
        sock = path
        if isinstance(path, str):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(path)
        made.append(Viewer(sock))
        return made[-1]

    yield view
    for viewer in made:
        viewer.sock.close()


@pytest.fixture
def make_display(make_machine, tmp_path):
    """Return a machine whose display has these options, and the path where it listens."""

    def make(options="", *more):
        path = str(tmp_path / "vnc")
        return make_machine("-M", "none", "-vnc", f"unix:{path}{options}", *more), path

    return make
