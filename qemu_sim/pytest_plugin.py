"""pytest fixtures: machines that speak QMP and migrate to each other.

    def test_status(machine):
        assert machine.execute("query-status")["status"] == "running"

`make_machine(*argv)` starts a machine with a QEMU command line, `machine` is one with
`qemu_sim_argv`, and `machine_pair` two of them: a running source, and a destination that
waits for it. Whether they run in the test's process or as daemons is `qemu_sim_mode`, and
changes nothing else. `make_disk` serves vhost-user disks to them.

Every run of pytest imports this file, so it imports nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from qemu_sim.testing.disk_server import DiskServer
    from qemu_sim.testing.factory import MachineFactory
    from qemu_sim.testing.machine import SimMachine


class MachinePair(NamedTuple):
    """Two machines with the same command line."""

    source: SimMachine
    destination: SimMachine


@pytest.fixture
def qemu_sim_mode() -> str:
    """Where machines run: "in-process" or "daemon". Override or parametrize it."""
    return "in-process"


@pytest.fixture
def qemu_sim_argv() -> Sequence[str]:
    """The command line of `machine` and `machine_pair`. Override or parametrize it."""
    return ()


@pytest.fixture
def make_machine(tmp_path: Path, qemu_sim_mode: str) -> Iterator[MachineFactory]:
    """Start machines with QEMU command lines; what they leave behind fails the test."""
    from qemu_sim.testing.factory import MachineFactory  # noqa: PLC0415 - see above

    factory = MachineFactory(str(tmp_path), qemu_sim_mode)
    yield factory
    complaints = factory.close()
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@pytest.fixture
def make_disk(make_machine: MachineFactory) -> Callable[..., DiskServer]:
    """Serve vhost-user disks: `make_disk(name, size=bytes).path` is for -chardev socket."""
    return make_machine.make_disk


@pytest.fixture
def machine(make_machine: MachineFactory, qemu_sim_argv: Sequence[str]) -> SimMachine:
    """One running machine."""
    return make_machine(*qemu_sim_argv)


@pytest.fixture
def machine_pair(make_machine: MachineFactory, qemu_sim_argv: Sequence[str]) -> MachinePair:
    """A running source, and a destination that waits for its migration."""
    source = make_machine(*qemu_sim_argv, name="source")
    destination = make_machine(*qemu_sim_argv, "-incoming", "defer", name="destination")
    destination.listen()
    return MachinePair(source, destination)
