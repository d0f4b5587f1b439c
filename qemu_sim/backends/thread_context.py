"""The object thread-context: a real thread on some of the host's CPUs.

QEMU: util/thread-context.c

Others would be made by it, to stay where it is; nothing here needs threads.
"""

from __future__ import annotations

import os
from typing import Any

from qemu_sim.backends.object import Object, Place
from qemu_sim.backends.sleeper import Sleeper
from qemu_sim.errors import QMPError

_NODE = "/sys/devices/system/node/node{}/cpulist"
_MOST = 0xFFFF
_LISTS = {"cpu-affinity": "CPU", "node-affinity": "Node"}


class ThreadContext(Object):
    """A thread; `options` say on which CPUs, or near which NUMA nodes, it may run."""

    TYPE = "thread-context"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Raises QMPError in QEMU's words."""
        super().__init__(id, options, place)
        cpus = _chosen(options)
        self._thread = Sleeper()
        try:
            if cpus is not None:
                _settle(self._thread.thread_id, cpus)
        except QMPError:
            self._thread.close()
            raise
        # What a client reads is where it may run, whatever was asked for; nodes are only written.
        thread = self._thread.thread_id
        self.options = {"thread-id": thread, "cpu-affinity": sorted(os.sched_getaffinity(thread))}

    def close(self) -> None:
        """End the thread."""
        self._thread.close()


def _chosen(options: dict[str, Any]) -> list[int] | None:
    """Return the CPUs that were asked for; None if there is no wish."""
    for name, what in _LISTS.items():
        if any(number > _MOST for number in options.get(name, ())):
            raise QMPError("Parameter 'null' expects uint16_t")
        if options.get(name) == []:
            raise QMPError(f"{what} list is empty")
    if len(options) > 1:
        raise QMPError("Mixing CPU and node affinity not supported")
    cpus: list[int] | None = options.get("cpu-affinity")
    if "node-affinity" in options:
        cpus = [cpu for node in options["node-affinity"] for cpu in _of_node(node)]
        if not cpus:
            raise QMPError("The nodes select no CPUs")
    return cpus


def _of_node(node: int) -> list[int]:
    """Return the CPUs of one of the host's NUMA nodes, none if there is no such node."""
    try:
        with open(_NODE.format(node), encoding="ascii") as file:
            ranges = file.read().strip().split(",")
    except FileNotFoundError:
        return []
    ends = [part.partition("-")[::2] for part in ranges if part]
    return [cpu for first, last in ends for cpu in range(int(first), int(last or first) + 1)]


def _settle(thread: int, cpus: list[int]) -> None:
    try:
        os.sched_setaffinity(thread, cpus)
    except OSError as error:
        raise QMPError(f"Setting CPU affinity failed: {error.strerror}") from None
