"""How long a guest stands still while its vhost-user disk is handed over, under load."""

from __future__ import annotations

import blackout
from machines import QUEUE_DEPTH, served_disk, use_disk

_FDS = 4  # the server's socket, its inflight region, the queue's kick and call


def measure(directory, qemus):
    name = f"vhost-user disk at queue depth {QUEUE_DEPTH}"
    with served_disk(directory) as disk:
        return blackout.rows(name, directory, disk, fds=_FDS, prepare=use_disk)
