"""The jobs of one machine.

QEMU: job.c (job_create), blockjob.c
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import DeviceNotActive, QMPError

if TYPE_CHECKING:
    from qemu_sim.clock import Clock
    from qemu_sim.machine.job import Job, Wishes

_ID = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")

Emit = Callable[[str, dict[str, Any]], None]


class Jobs:
    """The jobs of one machine, oldest first."""

    def __init__(self, emit: Emit, bug: Callable[[Exception], str], clock: Clock) -> None:
        """`emit` tells an event; `bug` records what nobody foresaw, and words it."""
        self.emit = emit
        self.bug = bug
        self.clock = clock
        self.closing = False
        self._jobs: dict[str, Job] = {}

    def make(self, id: str, kind: str, wishes: Wishes) -> Job:
        """Return a job that waits for its `start`. Raises QMPError in QEMU's words."""
        if not _ID.fullmatch(id):
            raise QMPError(f"Invalid job ID '{id}'")
        if id in self._jobs:
            raise QMPError(f"Job ID '{id}' already in use")
        from qemu_sim.machine.job import Job  # noqa: PLC0415 - many machines never have one

        job = Job(self, id, kind, wishes)
        self._jobs[id] = job
        job.move("created")
        if wishes.speed < 0:
            job.fail()
            raise QMPError("Parameter 'speed' expects a non-negative value")
        return job

    def find(self, id: str) -> Job:
        """Return a job. Raises QMPError in QEMU's words."""
        if id not in self._jobs:
            raise QMPError("Job not found")
        return self._jobs[id]

    def find_block_job(self, id: str) -> Job:
        """Return a block job. Raises DeviceNotActive in QEMU's words."""
        found = self._jobs.get(id)
        if found is None or not found.is_block:
            raise DeviceNotActive(f"Block job '{id}' not found")
        return found

    def listed(self) -> list[Job]:
        """Return all jobs, the newest first as in QEMU."""
        return list(reversed(self._jobs.values()))

    def forget(self, job: Job) -> None:
        """Leave out a job that was dismissed."""
        del self._jobs[job.id]

    def drain(self) -> None:
        """Have those that work on nodes pause for a moment, as when all nodes are drained."""
        for job in self._jobs.values():
            if job.is_block:
                job.drain()

    def close(self) -> None:
        """End all work."""
        self.closing = True
        for job in self._jobs.values():
            job.stop()
