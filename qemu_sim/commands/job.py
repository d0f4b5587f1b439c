"""Jobs.

QEMU: qapi/job.json, job-qmp.c; the older block-job-* of qapi/block-core.json, blockdev.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command
from qemu_sim.qapi import shape

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("query-jobs")
def query_jobs(machine: Machine) -> list[dict[str, Any]]:
    """Return all jobs."""
    return [job.describe() for job in machine.jobs.listed()]


@command("query-block-jobs")
def query_block_jobs(machine: Machine) -> Any:
    """Return the jobs that work on nodes."""
    found = [job.describe_block_job() for job in machine.jobs.listed() if job.is_block]
    return shape.answer(machine.schema.by_name, "query-block-jobs", found)


@command("block-job-change", raw=True)
def block_job_change(machine: Machine, arguments: dict[str, Any]) -> None:
    """Have a mirror wait for its target with each write of a guest that writes nothing."""
    machine.jobs.find_block_job(arguments["id"]).change(arguments["copy-mode"])


@command("job-cancel")
def job_cancel(machine: Machine, *, id: str) -> None:
    """End a job, whatever it has done so far."""
    machine.jobs.find(id).cancel(force=True)


@command("job-pause")
def job_pause(machine: Machine, *, id: str) -> None:
    """Stop a job's work for a while."""
    machine.jobs.find(id).pause()


@command("job-resume")
def job_resume(machine: Machine, *, id: str) -> None:
    """Go on with a job's work."""
    machine.jobs.find(id).resume()


@command("job-complete")
def job_complete(machine: Machine, *, id: str) -> None:
    """End a job that is ready, and use its result."""
    machine.jobs.find(id).complete()


@command("job-finalize")
def job_finalize(machine: Machine, *, id: str) -> None:
    """Make the result of a job final."""
    machine.jobs.find(id).finalize()


@command("job-dismiss")
def job_dismiss(machine: Machine, *, id: str) -> None:
    """Forget a job that has ended."""
    machine.jobs.find(id).dismiss()


@command("block-job-cancel")
def block_job_cancel(machine: Machine, *, device: str, force: bool = False) -> None:
    """End a job; a mirror that is ready keeps its copy unless `force`."""
    machine.jobs.find_block_job(device).cancel(force=force)


@command("block-job-pause")
def block_job_pause(machine: Machine, *, device: str) -> None:
    """Stop a job's work for a while."""
    machine.jobs.find_block_job(device).pause()


@command("block-job-resume")
def block_job_resume(machine: Machine, *, device: str) -> None:
    """Go on with a job's work."""
    machine.jobs.find_block_job(device).resume()


@command("block-job-complete")
def block_job_complete(machine: Machine, *, device: str) -> None:
    """End a job that is ready, and use its result."""
    machine.jobs.find_block_job(device).complete()


@command("block-job-finalize")
def block_job_finalize(machine: Machine, *, id: str) -> None:
    """Make the result of a job final."""
    machine.jobs.find_block_job(id).finalize()


@command("block-job-dismiss")
def block_job_dismiss(machine: Machine, *, id: str) -> None:
    """Forget a job that has ended."""
    machine.jobs.find_block_job(id).dismiss()


@command("block-job-set-speed")
def block_job_set_speed(machine: Machine, *, device: str, speed: int) -> None:
    """Limit how many bytes a second a job copies; 0 for any."""
    job = machine.jobs.find_block_job(device)
    job.check("set-speed")
    job.speed = speed
