"""The human monitor on a socket and on a program's own streams."""

import os
import socket
import subprocess
import sys

import pytest

PROMPT = b"(qemu) "


class Terminal:
    """Types lines and reads up to the next prompt."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(path)
        self._printed = b""

    def read(self):
        """Return what is printed before the next prompt, or the end."""
        while PROMPT not in self._printed:
            data = self._socket.recv(4096)
            if not data:
                break
            self._printed += data
        printed, _, self._printed = self._printed.partition(PROMPT)
        return printed.decode()

    def type(self, text, fd=None):
        if fd is None:
            self._socket.sendall(text)
        else:
            socket.send_fds(self._socket, [text], [fd])

    def close(self):
        self._socket.close()


@pytest.fixture
def human(make_machine, tmp_path):
    path = f"{tmp_path}/human"
    chardev = f"socket,id=human,path={path},server=on,wait=off"
    machine = make_machine("-chardev", chardev, "-mon", "chardev=human,mode=readline")
    terminal = Terminal(path)
    yield machine, terminal, path
    terminal.close()


def test_a_person_is_greeted_and_answered(human):
    machine, terminal, _ = human
    assert terminal.read() == "QEMU 11.1.3 monitor - type 'help' for more information\r\n"
    terminal.type(b"info sta")
    terminal.type(b"tus\n")
    assert terminal.read() == "VM status: running\r\n"
    terminal.type(b"stop\rinfo status\r\n\n")
    assert [terminal.read() for _ in range(3)] == ["", "VM status: paused\r\n", ""]
    machine.wait_event("STOP")
    terminal.type(b"\xff\n")
    assert terminal.read() == "unknown command: '\ufffd'\r\n"


def test_descriptors_belong_to_the_monitor(human):
    _, terminal, _ = human
    terminal.read()
    reader, writer = os.pipe()
    terminal.type(b"getfd pipe\n", fd=writer)
    os.close(writer)
    assert terminal.read() == ""
    terminal.type(b"closefd pipe\n")
    assert terminal.read() == ""
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_the_next_person_may_come(human):
    _, terminal, path = human
    terminal.close()
    other = Terminal(path)
    assert other.read().startswith("QEMU")
    other.close()


def test_a_line_without_end_is_no_person(human):
    _, terminal, _ = human
    terminal.read()
    with pytest.raises(OSError, match=r"reset|Broken|aborted"):
        while True:
            terminal.type(b"x" * 65536)


def test_quit_ends_the_machine(human):
    machine, terminal, _ = human
    terminal.read()
    terminal.type(b"quit\ninfo status\n")
    machine.wait_event("SHUTDOWN", reason="host-qmp-quit")
    assert "status" not in terminal.read()
    assert machine.wait() == 0


def test_on_its_own_streams():
    argv = [sys.executable, "-m", "qemu_sim", "-machine", "none", "-monitor", "stdio"]
    done = subprocess.run(
        argv, input=b"info name\ninfo uuid\nquit\n", capture_output=True, timeout=20, check=True
    )
    assert done.stderr == b""
    assert b"(qemu) 00000000-0000-0000-0000-000000000000\r\n(qemu) " in done.stdout
