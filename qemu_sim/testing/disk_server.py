"""A vhost-user-blk server for machines to use as a disk: our own, on their event loop."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from qemu_sim.fds import Fd
from qemu_sim.testing.loop_thread import LoopThread
from qemu_sim.vhost_user_blk.raw_image import RawImage
from qemu_sim.vhost_user_blk.server import Server

_TIMEOUT = 10.0  # seconds
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class DiskServer:
    """Serves a raw image at `path` until `close`; `image` is its file."""

    def __init__(self, thread: LoopThread, directory: str, name: str, size: int) -> None:
        """Start to serve an empty image of `size` bytes."""
        self.path = os.path.join(directory, f"{name}.sock")
        self.image = os.path.join(directory, f"{name}.image")
        self._log_path = os.path.join(directory, f"{name}.log")
        self._thread = thread
        self._files = contextlib.ExitStack()
        image = self._open(self.image, 0)
        os.ftruncate(image.fileno(), size)
        log = self._open(self._log_path, os.O_APPEND)
        self._server = thread.call(self._serve(image, log), _TIMEOUT)

    @property
    def log(self) -> list[dict[str, Any]]:
        """What happened so far: `event` is connect, disconnect, message or error.

        Each has `time` (monotonic, ns) and `connection`; a message has its `request`.
        """
        with open(self._log_path) as lines:
            return [json.loads(line) for line in lines]

    def close(self) -> list[str]:
        """End all connections; there is nothing to complain of."""
        with self._files:
            self._thread.call(self._close(), _TIMEOUT)
        return []

    async def _serve(self, image: Fd, log: Fd) -> Server:
        return Server(self.path, RawImage(image), log)

    async def _close(self) -> None:
        self._server.close()

    def _open(self, path: str, flags: int) -> Fd:
        return self._files.enter_context(Fd(os.open(path, _FLAGS | flags, 0o600)))
