"""Jobs: their states, as QEMU 11.1 told them, and what may be asked of them when."""

import asyncio

import pytest

from qemu_sim.clock import SECOND, ManualClock
from qemu_sim.errors import DeviceNotActive, QMPError
from qemu_sim.machine.job import Wishes
from qemu_sim.machine.jobs import Jobs


@pytest.fixture
def told():
    return []


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def jobs(told, clock):
    made = Jobs(lambda event, data: told.append(data.get("status", event)), repr, clock)
    yield made
    made.close()


async def nothing(_job):
    pass


async def copy_and_wait(job):
    job.total = 10
    await job.step(10)
    await job.ready()


async def fail(_job):
    raise QMPError("no such luck")


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_job_passes_all_states(jobs, told):
    job = jobs.make("j", "create", Wishes(is_block=False))
    job.start(nothing)
    assert told == ["created", "running"]
    await settle()
    assert told[2:] == ["waiting", "pending", "concluded", "null"]
    assert jobs.listed() == []


async def test_a_failed_job_says_why(jobs, told):
    jobs.make("j", "backup", Wishes(auto_dismiss=False)).start(fail)
    await settle()
    assert told[2:] == ["aborting", "BLOCK_JOB_COMPLETED", "concluded"]
    assert jobs.find("j").describe() == {
        "id": "j",
        "type": "backup",
        "status": "concluded",
        "current-progress": 0,
        "total-progress": 1,
        "error": "no such luck",
    }
    jobs.find("j").dismiss()
    assert told[-1] == "null"


async def test_a_client_finalizes(jobs, told):
    jobs.make("j", "backup", Wishes(auto_finalize=False)).start(nothing, drained=True)
    await settle()
    assert told == [
        *("created", "running", "paused", "running", "waiting", "pending", "BLOCK_JOB_PENDING")
    ]
    jobs.find("j").finalize()
    assert told[-3:] == ["BLOCK_JOB_COMPLETED", "concluded", "null"]


@pytest.mark.parametrize(("force", "event"), [(True, "CANCELLED"), (False, "COMPLETED")])
async def test_a_mirror_waits_to_be_ended(jobs, told, force, event):
    job = jobs.make("j", "mirror", Wishes())
    job.start(copy_and_wait)
    await settle()
    assert told[2:] == ["ready", "BLOCK_JOB_READY"]
    job.cancel(force=force)
    await settle()
    assert f"BLOCK_JOB_{event}" in told
    assert (told[-1], job.pivots) == ("null", False)


async def test_complete_wants_the_copy(jobs):
    job = jobs.make("j", "mirror", Wishes())
    seen = []
    job.settled.append(lambda: seen.append(job.pivots))
    job.start(copy_and_wait)
    await settle()
    job.complete()
    await settle()
    assert seen == [True]


async def test_a_paused_job_stands_still(jobs, told):
    job = jobs.make("j", "backup", Wishes())
    steps = []

    async def work(job):
        for number in range(3):
            await job.step(number)
            steps.append(number)

    job.start(work)
    job.pause()
    await settle()
    assert (steps, job.status) == ([], "paused")
    with pytest.raises(QMPError, match="Job is already paused"):
        job.pause()
    job.resume()
    await settle()
    assert steps == [0, 1, 2]
    assert told[-1] == "null"


@pytest.mark.parametrize("verb", ["complete", "pause", "dismiss"])
async def test_what_a_state_does_not_allow_is_refused(jobs, verb):
    job = jobs.make("j", "backup", Wishes(auto_finalize=False))
    job.start(nothing)
    await settle()
    with pytest.raises(QMPError) as caught:
        getattr(job, verb)()
    assert str(caught.value) == f"Job 'j' in state 'pending' cannot accept command verb '{verb}'"


async def test_ids_are_checked(jobs):
    with pytest.raises(QMPError, match="Invalid job ID '1bad'"):
        jobs.make("1bad", "backup", Wishes())
    jobs.make("j", "create", Wishes(is_block=False))
    with pytest.raises(QMPError, match="Job ID 'j' already in use"):
        jobs.make("j", "backup", Wishes())
    with pytest.raises(DeviceNotActive, match="Block job 'j' not found"):
        jobs.find_block_job("j")
    with pytest.raises(QMPError, match="Job not found"):
        jobs.find("k")


async def test_a_job_may_be_given_up_before_it_begins(jobs, told):
    jobs.make("j", "backup", Wishes()).give_up()
    assert told == ["created", "aborting", "concluded", "null"]


async def test_a_bug_ends_the_job_only(jobs):
    async def stumble(_job):
        raise KeyError("surprise")

    job = jobs.make("j", "backup", Wishes(auto_dismiss=False))
    job.start(stumble)
    await settle()
    assert (job.status, job.error) == ("concluded", "KeyError('surprise')")


async def test_what_fails_at_the_end_is_the_jobs_error(jobs):
    job = jobs.make("j", "stream", Wishes(auto_dismiss=False))
    released = []

    def refuse():
        raise QMPError("Backing file name too long")

    job.settled += [refuse, lambda: released.append(True)]
    job.start(nothing)
    await settle()
    assert (job.describe()["error"], released) == ("Backing file name too long", [True])


async def copy_five(job):
    job.total = 5000
    for done in range(1000, 6000, 1000):
        await job.step(done)


async def test_a_speed_limit_takes_the_machines_time(jobs, clock, told):
    job = jobs.make("j", "backup", Wishes(speed=100))
    job.start(copy_five)
    await clock.advance(10 * SECOND)
    assert job.done == 2000
    await clock.advance(40 * SECOND - 1)
    assert (job.done, job.status) == (5000, "running")
    await clock.advance(1)
    assert told[-1] == "null"


@pytest.mark.parametrize("speed", [0, 1000])
async def test_a_job_that_may_go_faster_does_so_at_once(jobs, clock, told, speed):
    job = jobs.make("j", "backup", Wishes(speed=1))
    job.start(copy_five)
    await clock.advance(SECOND)
    job.speed = speed
    await clock.advance(4 * SECOND)
    assert told[-1] == "null"


async def test_a_job_that_shall_go_slower_ends_its_wait_first(jobs, clock):
    job = jobs.make("j", "backup", Wishes(speed=100))
    job.start(copy_five)
    await clock.advance(SECOND)
    job.speed = 1
    await clock.advance(9 * SECOND)
    assert job.done == 2000


async def test_time_passes_while_a_job_is_paused_or_ready(jobs, clock, told):
    job = jobs.make("j", "mirror", Wishes())
    job.start(copy_and_wait)
    job.pause()
    await clock.advance(SECOND)
    job.resume()
    await clock.advance(SECOND)
    assert told[-1] == "BLOCK_JOB_READY"
    assert clock.now() == 2 * SECOND


async def test_no_time_passes_while_a_job_works(jobs, clock, told):
    async def work(job):
        for number in range(500):
            await job.step(number)

    jobs.make("j", "backup", Wishes()).start(work)
    await clock.advance(0)
    assert told[-1] == "null"
