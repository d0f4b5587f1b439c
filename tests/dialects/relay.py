"""A process in the middle of a migration channel."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress


class Relay:
    """A process in the middle: what arrives at `path` goes on to `target`, and back.

    `tamper(forth, data, fds)` sees each piece, `forth` from source to destination, and
    returns what goes on, or None to cut the connection. Without it descriptors are lost.
    What a reader that has left does not take is dropped: its last words still come back.
    """

    def __init__(self, path, target, tamper=None, size=1 << 16) -> None:
        self.path, self._target = path, target
        self._tamper, self._size = tamper, size
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Wait for the end of the connection, or end what never came."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        try:
            source, _ = self._listener.accept()
        except OSError:
            return
        with source, socket.socket(socket.AF_UNIX) as destination:
            destination.connect(self._target)
            back = threading.Thread(target=self._pass_on, args=(False, destination, source))
            back.start()
            self._pass_on(True, source, destination)
            back.join()

    def _pass_on(self, forth, here, there) -> None:
        try:
            while self._pass_on_one(forth, here, there):
                pass
        except ConnectionError:
            pass
        for sock in (here, there):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _pass_on_one(self, forth, here, there) -> bool:
        if self._tamper is None:
            data = here.recv(self._size)
            with suppress(BrokenPipeError):
                there.sendall(data)
            return bool(data)
        data, fds, _, _ = socket.recv_fds(here, self._size, 16)
        passed = self._tamper(forth, data, fds) if data else None
        if passed is not None:
            with suppress(BrokenPipeError):
                socket.send_fds(there, *passed)
        for fd in fds:
            os.close(fd)
        return passed is not None
