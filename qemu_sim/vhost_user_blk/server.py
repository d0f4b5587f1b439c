"""A listening socket, and one `BackEnd` for each of its clients.

All clients share the model. The log, if there is one, gets a JSON object a line: `time`
(monotonic, ns), `event`, `connection`, and

    connect | disconnect | message (request, fds) | error (reason)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from qemu_sim.io.address import unix_address
from qemu_sim.io.sockets import listen
from qemu_sim.vhost_user_blk.back_end import BackEnd

if TYPE_CHECKING:
    from qemu_sim.fds import Fd
    from qemu_sim.vhost_user_blk.back_end import Model

_BACKLOG = 16


class Server:
    """Listens on a unix socket and serves `model` to each client."""

    def __init__(self, path: str, model: Model, log: Fd | None) -> None:
        """Listen; `log` stays the caller's. Raises QMPError when that is impossible."""
        self._path = path
        self._model = model
        self._log = log
        self._clients: set[BackEnd] = set()
        self._numbers = itertools.count(1)
        self._listener = listen(unix_address(path), _BACKLOG)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """End all connections and remove the socket."""
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        for client in list(self._clients):
            client.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        number = next(self._numbers)
        self._write(number, "connect", {})
        client = BackEnd(
            sock, self._model, partial(self._write, number), lambda: self._closed(number, client)
        )
        self._clients.add(client)

    def _closed(self, number: int, client: BackEnd) -> None:
        self._write(number, "disconnect", {})
        self._clients.discard(client)

    def _write(self, connection: int, event: str, members: dict[str, Any]) -> None:
        if self._log is not None:
            entry = {"time": time.monotonic_ns(), "event": event, "connection": connection}
            os.write(self._log.fileno(), json.dumps(entry | members).encode() + b"\n")
