"""Two machines in one process, with backends that are eventfds: who may serve is visible."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from qemu_sim.clock import RealClock
from qemu_sim.errors import MigrationError
from qemu_sim.fds import Fd, TaggedFd, close_all
from qemu_sim.hooks import Hooks
from qemu_sim.io.address import UnixAddress
from qemu_sim.migration import transfer
from qemu_sim.migration.dialects.dialect import Dialect
from qemu_sim.migration.guest_load import GuestLoad
from qemu_sim.migration.migration import Migration
from qemu_sim.migration.parameters import Parameters
from qemu_sim.migration.status import AT_REST, TRANSITIONS
from qemu_sim.migration.transport import Access, Transport
from qemu_sim.migration.transports.socket import SocketTransport
from qemu_sim.qapi import profile as profiles
from qemu_sim.virtio.memory import GuestMemory

STATUSES = frozenset(TRANSITIONS)


@dataclass
class FakeCapabilities:
    names: set[str] = field(default_factory=set)

    def enabled(self, name: str) -> bool:
        return name in self.names


class FakeBackend:
    """Owns eventfds whose count is their identity."""

    TYPE = "fake"

    def __init__(self, count: int) -> None:
        self.count = count
        self.fds: list[Fd] = []
        self.quiet = False
        self.active = False
        self.blocker: str | None = None

    def open_now(self) -> None:
        self.fds = [Fd(os.eventfd(index, os.EFD_CLOEXEC)) for index in range(self.count)]
        self.active = True

    @property
    def serves(self) -> bool:
        return self.active and not self.quiet and bool(self.fds)

    def transfer_blocker(self) -> str | None:
        return self.blocker

    def identity(self) -> dict[str, Any]:
        return {"count": self.count}

    def mismatch(self, offered: dict[str, Any]) -> str | None:
        theirs = offered.get("count")
        return None if theirs == self.count else f"{theirs} there, {self.count} here"

    def quiesce(self) -> None:
        self.quiet = True

    def unquiesce(self) -> None:
        self.quiet = False

    def hand_over(self) -> tuple[dict[str, Any], list[TaggedFd]]:
        tagged = [TaggedFd("event", index, fd) for index, fd in enumerate(self.fds)]
        return {"links": [_link(fd) for fd in self.fds]}, tagged

    def adopt(self, state: dict[str, Any], fds: list[TaggedFd]) -> None:
        if [_link(tagged.fd) for tagged in fds] != state["links"]:
            close_all(tagged.fd for tagged in fds)
            raise MigrationError("descriptors are not those of this backend")
        self.fds = [tagged.fd for tagged in fds]

    def activate(self) -> None:
        self.active = True
        self.quiet = False

    def disown(self) -> None:
        self.release()

    def release(self) -> None:
        close_all(self.fds)
        self.fds = []
        self.active = False


class FakeDevice:
    def __init__(self, id: str, count: int = 2, **properties: Any) -> None:
        self.id = id
        self.path = self.section = f"/machine/peripheral/{id}"
        self.name = id
        self.properties = properties
        self.backend = FakeBackend(count)
        self.runs = False
        self.loaded: dict[str, Any] | None = None
        self.drained = 0

    async def open(self) -> None:
        self.backend.open_now()

    async def drain(self) -> None:
        self.drained += 1

    async def restart(self) -> None:
        self.drained -= 1

    def save(self) -> dict[str, Any]:
        return {"name": self.id}

    def load(self, state: dict[str, Any]) -> None:
        self.loaded = state


@dataclass
class FakeMachine:
    devices: list[FakeDevice]
    memory: GuestMemory
    machine_type: str = "fake-1.0"
    uuid: str | None = None
    version: tuple[int, int, int] = (11, 1, 3)
    capabilities: FakeCapabilities = field(default_factory=FakeCapabilities)
    transfer_by_default: bool = True
    cpu_count: int = 2
    asleep: bool = False
    state_name: str = "running"
    start_paused: bool = False
    log: list[str] = field(default_factory=list)
    traced: list[tuple[str, str, int]] = field(default_factory=list)
    exit_status: int | None = None
    stayed: list[str] | None = None

    def __post_init__(self) -> None:
        self.held: asyncio.Queue[str] = asyncio.Queue()
        self.moved = asyncio.Event()
        self.clock = RealClock()
        self.hooks = Hooks(self._tell, self.clock)
        self.parameters = Parameters(profiles.load())
        self.guest_load = GuestLoad()
        self.migration = Migration(self, phase_timeout=2.0, statuses=lambda: STATUSES)
        self.dialect = Dialect(SimpleNamespace(netdevs={}))
        self.dialect.NEGOTIATES = True

    def _tell(self, event: str, data: dict[str, Any]) -> None:
        if event == "X_SIM_MIGRATION_HELD":
            self.held.put_nowait(data["at"])

    @property
    def migration_mode(self) -> str:
        return self.parameters["mode"]

    @property
    def is_running(self) -> bool:
        return self.state_name == "running"

    @property
    def serving(self) -> list[str]:
        running = self.state_name == "running"
        return [device.id for device in self.devices if running and device.backend.serves]

    def stop_for_migration(self) -> None:
        self.log.append("STOP")
        self.state_name = "finish-migrate"

    def continue_as(self, run_state: str, *, asleep: bool) -> None:
        self.asleep = asleep
        self.log.append(f"continue {run_state}")
        self.state_name = run_state

    def announce_arrival(self, but) -> None:
        self.stayed = sorted(but)

    def resume_after_failure(self, run_state: str) -> None:
        self.log.append(f"resume {run_state}")
        self.state_name = run_state

    def request_unplug(self) -> bool:
        return False

    async def unplug(self) -> None:
        raise AssertionError

    def plug_again(self) -> None:
        pass

    async def run_next(self, command: list[str]) -> None:
        self.log.append(f"exec {command}")
        raise MigrationError(f"execvp {command[0]} failed: No such file or directory")

    async def cont(self) -> None:
        self.resume_after_failure("running")

    def leave_images(self) -> None:
        """There are none."""

    def finish_migration(self) -> None:
        self.state_name = "postmigrate"

    def bug(self, error: Exception) -> str:
        raise error

    def exit(self, status: int) -> None:
        self.exit_status = status

    def trace_migration(self, direction: str, what: dict[str, Any], fds: int) -> None:
        self.traced.append((direction, next(iter(what)), fds))

    def migration_moved(self, status: str) -> None:
        if status in AT_REST:
            self.hooks.ended()
        self.log.append(status)
        self.moved.set()

    def migration_passed(self, count: int) -> None:
        self.log.append(f"pass {count}")

    async def until(self, *statuses: str) -> str:
        """Wait until the migration has one of these statuses."""
        async with asyncio.timeout(5):
            while self.migration.status.value not in statuses:
                self.moved.clear()
                await self.moved.wait()
        return self.migration.status.value

    async def close(self) -> None:
        await self.migration.close()
        for device in self.devices:
            device.backend.release()
        self.memory.close()


class Pair:
    """A running source and a destination that listens."""

    def __init__(self, source: FakeMachine, destination: FakeMachine, path: str) -> None:
        self.source = source
        self.destination = destination
        self.path = path
        self.transport: Transport = SocketTransport(UnixAddress(path))
        self.access = Access((11, 1, 0), True, lambda *_: None, {})

    def listen(self, *, exit_on_error: bool = True) -> None:
        self.destination.migration.listen(self.transport, self.access, exit_on_error=exit_on_error)

    def migrate(self, names: list[str] | None = None, *, hand_over: bool = True) -> None:
        source = self.source
        plan = None
        if hand_over:
            plan = transfer.plan(source.devices, names, source.transfer_by_default)
        source.migration.start(lambda: self.transport, self.access, plan)

    async def ended(self) -> tuple[str, str]:
        ends = ("completed", "failed", "cancelled")
        return await self.source.until(*ends), await self.destination.until(*ends)

    @property
    def owners(self) -> list[str]:
        """Who serves each device now; nobody twice is the point of it all."""
        return sorted(self.source.serving + self.destination.serving)


@pytest.fixture
async def make_pair(tmp_path):
    """Build a pair; keyword arguments change the destination's devices or RAM."""
    made: list[Pair] = []

    async def make(
        devices: dict[str, int] | None = None,
        *,
        there: dict[str, int] | None = None,
        shared: bool = True,
        size: int = 1 << 20,
    ) -> Pair:
        counts = {"nic0": 2, "nic1": 1} if devices is None else devices
        source = FakeMachine(
            [FakeDevice(name, count) for name, count in counts.items()], GuestMemory(size, shared)
        )
        for device in source.devices:
            await device.open()
        destination = FakeMachine(
            [FakeDevice(name, count) for name, count in (there or counts).items()],
            GuestMemory(size, shared),
            state_name="inmigrate",
        )
        made.append(Pair(source, destination, str(tmp_path / f"mig{len(made)}")))
        return made[-1]

    yield make
    for pair in made:
        await pair.destination.close()
        await pair.source.close()


def _link(fd: Fd) -> str:
    with open(f"/proc/self/fdinfo/{fd.fileno()}") as info:
        return next((line for line in info if line.startswith("eventfd-id")), "no eventfd")
