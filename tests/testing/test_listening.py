"""Who listens, as the kernel's table of sockets has it."""

import os
import socket

from qemu_sim.testing.listening import is_listening


def test_a_socket_is_found_once_it_listens(tmp_path):
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        assert not is_listening(path)
        sock.listen()
        assert is_listening(path)


def test_other_sockets_may_be_called_anything(tmp_path):
    strange = os.fsencode(tmp_path / "a") + b"\xc0"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(strange)
        sock.listen()
        assert is_listening(os.fsdecode(strange))
