"""Long-running work that a client watches: its states, and what may be asked for when.

QEMU: job.c, blockjob.c, qapi/job.json

A job's work is an async function. It moves through the states of the table and tells each
step by JOB_STATUS_CHANGE; a block job tells its turns by BLOCK_JOB_* as well. What a speed
limit makes it wait is the machine's time; the work itself takes none of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.clock import SECOND, Alarm, rest
from qemu_sim.errors import QMPError
from qemu_sim.machine.job_group import JobGroup

if TYPE_CHECKING:
    from qemu_sim.block.edge import Edge
    from qemu_sim.machine.jobs import Jobs

# JobVerbTable: the states in which a client may ask for each.
_VERBS = {
    "cancel": ("created", "running", "paused", "ready", "standby", "waiting", "pending"),
    "pause": ("created", "running", "paused", "ready", "standby"),
    "resume": ("created", "running", "paused", "ready", "standby"),
    "set-speed": ("created", "running", "paused", "ready", "standby"),
    "change": ("created", "running", "paused", "ready", "standby"),
    "complete": ("ready",),
    "finalize": ("pending",),
    "dismiss": ("concluded",),
}
_ACTIVE = "write-blocking"  # the copy mode in which a guest's writes wait for both sides
_PAUSED = {"running": "paused", "ready": "standby"}
_GOES_ON = {paused: status for status, paused in _PAUSED.items()}

Work = Callable[["Job"], Awaitable[None]]


class Wishes(NamedTuple):
    """What a client wants of a job besides its work; `speed` is in bytes a second."""

    is_block: bool = True
    auto_finalize: bool = True
    auto_dismiss: bool = True
    speed: int = 0


class Job:
    """One job. Its work reports `progress`, and waits in `ready` where it needs a signal."""

    def __init__(self, jobs: Jobs, id: str, kind: str, wishes: Wishes) -> None:
        self.id = id
        self.kind = kind
        self.is_block = wishes.is_block
        self.auto_finalize = wishes.auto_finalize
        self.auto_dismiss = wishes.auto_dismiss
        self.copy_mode = "background"  # of a mirror
        self.status = "undefined"
        self.done, self.total = 0, 1
        self._speed = wishes.speed
        self.error: str | None = None
        self.settled: list[Callable[[], None]] = []
        """Called in order, once, when the work is final, for better or worse."""
        self.group = JobGroup([self])
        self.edges: list[Edge] = []
        """The nodes that it works on."""
        self.succeeded = False
        self.pivots = False
        self._jobs = jobs
        self._task: asyncio.Task[None] | None = None
        self._completed = asyncio.Event()
        self._may_run = asyncio.Event()
        self._may_run.set()
        self._sleep: Alarm | None = None

    # Seen by the block graph.

    @property
    def spoken(self) -> str:
        """What a message calls it."""
        return f"{self.kind} job '{self.id}'"

    def blocker(self, role: str) -> str | None:  # noqa: ARG002  (the same for all)
        """Return why nothing else may be done to a node that it works on."""
        return f"block device is in use by block job: {self.kind}"

    # Seen by the work.

    async def step(self, done: int) -> None:
        """Report progress, let others run as `speed` wants, and wait while paused."""
        fresh, self.done = done - self.done, done
        clock = self._jobs.clock
        if self._speed:
            self._sleep = Alarm(clock)
            await self._sleep.wait(clock.now() + fresh * SECOND // self._speed)
            self._sleep = None
        else:
            await asyncio.sleep(0)
        if not self._may_run.is_set():
            await rest(clock, self._may_run.wait())

    async def ready(self) -> None:
        """Say that both sides are equal, and wait until a client ends it."""
        self.move("ready")
        self._tell("BLOCK_JOB_READY")
        await rest(self._jobs.clock, self._completed.wait())

    def report(self, operation: str) -> None:
        """Say that a read or write has failed; the error ends the job."""
        event = {"device": self.id, "operation": operation, "action": "report"}
        self._jobs.emit("BLOCK_JOB_ERROR", event)

    # Seen by clients.

    @property
    def speed(self) -> int:
        """Bytes a second, 0 for any."""
        return self._speed

    @speed.setter
    def speed(self, speed: int) -> None:
        """Work at another speed; where that is more, go on at once, as block_job_set_speed does."""
        is_faster = speed == 0 or speed > self._speed
        self._speed = speed
        if is_faster and self._sleep is not None:
            self._sleep.ring()

    def change(self, copy_mode: str) -> None:
        """Mirror in that mode from now on. Raises QMPError in QEMU's words."""
        self.check("change")
        if self.kind != "mirror":
            raise QMPError("Job type does not support change")
        if copy_mode not in (self.copy_mode, _ACTIVE):
            raise QMPError(f"Change to copy mode '{copy_mode}' is not implemented")
        self.copy_mode = copy_mode

    def describe(self) -> dict[str, Any]:
        """Return the JobInfo."""
        found = {
            "id": self.id,
            "type": self.kind,
            "status": self.status,
            "current-progress": self.done,
            "total-progress": self.total,
        }
        return found if self.error is None else {**found, "error": self.error}

    def describe_block_job(self) -> dict[str, Any]:
        """Return the BlockJobInfo."""
        is_ready = self.status in ("ready", "standby")
        return {
            **self._turn(),
            "busy": self.status == "running",
            "paused": not self._may_run.is_set(),
            "ready": is_ready,
            "status": self.status,
            "io-status": "ok",
            "auto-finalize": self.auto_finalize,
            "auto-dismiss": self.auto_dismiss,
            "actively-synced": is_ready and self.copy_mode == _ACTIVE,
            **({} if self.error is None else {"error": self.error}),
        }

    def check(self, verb: str) -> None:
        """Raise QMPError in QEMU's words if a client may not ask for that now."""
        if self.status not in _VERBS[verb]:
            raise QMPError(
                f"Job '{self.id}' in state '{self.status}' cannot accept command verb '{verb}'"
            )

    def cancel(self, *, force: bool) -> None:
        """End the work; a mirror that is ready is only ended unless `force`."""
        self.check("cancel")
        if self.status in ("ready", "standby") and not force:
            self._completed.set()
            self._may_run.set()
        else:
            self.end()

    def pause(self) -> None:
        """Stop the work for a while."""
        self.check("pause")
        if not self._may_run.is_set():
            raise QMPError("Job is already paused")
        self._may_run.clear()
        if self.status in _PAUSED:
            self.move(_PAUSED[self.status])

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._may_run.is_set():
            raise QMPError("Can't resume a job that was not paused")
        self.check("resume")
        self._may_run.set()
        if self.status in _GOES_ON:
            self.move(_GOES_ON[self.status])

    def complete(self) -> None:
        """End a mirror that is ready, and use its target."""
        self.check("complete")
        self.pivots = True
        self._completed.set()

    def finalize(self) -> None:
        """Make the result final."""
        self.check("finalize")
        self.group.conclude()

    def dismiss(self) -> None:
        """Forget the job."""
        self.check("dismiss")
        self._jobs.forget(self)
        self.move("null")

    # Its way through the states, with the others of its group.

    def conclude(self) -> None:
        """Make its result final."""
        self._conclude("BLOCK_JOB_COMPLETED")

    def end(self) -> None:
        """Break its work off, or forget the result."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
        else:
            self._abort(None)

    def tell_pending(self) -> None:
        """Tell that a client has to make its result final."""
        if self.is_block and self.status == "pending" and not self.auto_finalize:
            self._jobs.emit("BLOCK_JOB_PENDING", {"type": self.kind, "id": self.id})

    def start(self, work: Work, *, drained: bool = False) -> None:
        """Begin the work; what follows comes after the reply.

        `drained`: its nodes are, while it is under way already, which pauses it.
        """
        self.begin()
        for status in ("paused", "running") if drained else ():
            self.move(status)
        self._task = asyncio.get_running_loop().create_task(self._run(work), name=f"job {self.id}")
        self._jobs.clock.follow(self._task)

    def begin(self) -> None:
        """Say that it runs, unless that was said: `start` may come later."""
        if self.status != "running":
            self.move("running")

    def drain(self) -> None:
        """Pause for a moment, unless it is paused: its nodes are drained."""
        status = self.status
        if status in _PAUSED:
            for each in (_PAUSED[status], status):
                self.move(each)

    def give_up(self) -> None:
        """End a job whose work never began."""
        self._settle()
        for status in ("aborting", "concluded"):
            self.move(status)
        self.dismiss()

    def fail(self) -> None:
        """Forget a job that could not even be made."""
        self._settle()
        self._jobs.forget(self)
        self.move("null")

    def move(self, status: str) -> None:
        """Change the state, and tell."""
        self.status = status
        self._jobs.emit("JOB_STATUS_CHANGE", {"id": self.id, "status": status})

    def stop(self) -> None:
        """End the work because the machine ends."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, work: Work) -> None:
        try:
            await work(self)
        except asyncio.CancelledError:
            if self._jobs.closing:
                raise
            self._abort(None)
        except QMPError as error:
            self._abort(str(error))
        except Exception as error:  # noqa: BLE001  whatever it is, the job must end
            self._abort(self._jobs.bug(error))
        else:
            self.done = self.total
            self.succeeded = True
            self.move("waiting")
            self.group.finish()

    def _abort(self, error: str | None) -> None:
        self.error = error
        self.succeeded = self.pivots = False
        self.move("aborting")
        self._conclude("BLOCK_JOB_CANCELLED" if error is None else "BLOCK_JOB_COMPLETED")
        self.group.fail(self)

    def _conclude(self, event: str) -> None:
        self._settle()
        self._tell(event)
        self.move("concluded")
        if self.auto_dismiss:
            self.dismiss()

    def _settle(self) -> None:
        for call in self.settled:
            try:
                call()
            except QMPError as error:
                self.error = str(error)

    def _turn(self) -> dict[str, Any]:
        return {
            "type": self.kind,
            "device": self.id,
            "len": self.total,
            "offset": self.done,
            "speed": self.speed,
        }

    def _tell(self, event: str) -> None:
        if self.is_block:
            failed = {} if self.error is None else {"error": self.error}
            self._jobs.emit(event, {**self._turn(), **failed})
