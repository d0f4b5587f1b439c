"""Jobs that succeed together, or not at all.

QEMU: job.c (JobTxn, job_completed_txn_success, job_completed_txn_abort)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qemu_sim.machine.job import Job


class JobGroup:
    """The jobs of one transaction. A job by itself is a group of one."""

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs = jobs[::-1]  # the newest first, as in QEMU
        for job in jobs:
            job.group = self

    def finish(self) -> None:
        """Make the results final, or let clients do it, once all jobs have done their work."""
        if not all(job.succeeded for job in self._jobs):
            return
        for job in self._jobs:
            job.move("pending")
        if all(job.auto_finalize for job in self._jobs):
            self.conclude()
        for job in self._jobs:
            job.tell_pending()

    def conclude(self) -> None:
        """Make all results final."""
        for job in self._jobs:
            job.conclude()

    def fail(self, failed: Job) -> None:
        """End all but the one that has failed."""
        others = [job for job in self._jobs if job is not failed]
        self._jobs = [failed]
        for job in others:
            JobGroup([job])
            job.end()
