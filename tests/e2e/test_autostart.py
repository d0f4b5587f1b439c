"""What `stop`, `cont` and -S say to a destination before its source comes; as QEMU 7.2.22 does."""

from __future__ import annotations

import pytest

MACHINE = ("-M", "q35", "-m", "2")


@pytest.mark.parametrize(
    ("options", "commands", "arrives"),
    [
        ((), (), "running"),
        ((), ("stop",), "paused"),
        ((), ("stop", "cont"), "running"),
        (("-S",), (), "paused"),
        (("-S",), ("cont",), "running"),
        (("-S",), ("cont", "stop"), "paused"),
    ],
)
@pytest.mark.parametrize("backend_transfer", [True, False])
def test_who_waits_is_told_beforehand(make_machine, options, commands, arrives, backend_transfer):
    source = make_machine(*MACHINE)
    destination = make_machine(*MACHINE, *options, "-incoming", "defer")
    for command in commands:
        destination.execute(command)
        assert destination.execute("query-status")["status"] == "inmigrate"
    source.start_migration(destination, backend_transfer=backend_transfer).wait()
    assert destination.execute("query-status")["status"] == arrives


@pytest.mark.parametrize("end", ["cancelling", "failing"])
def test_a_machine_that_is_closed_while_it_goes_back_leaves_nothing(make_machine, end):
    source = make_machine(*MACHINE)
    destination = make_machine(*MACHINE, "-incoming", "defer")
    source.hold("stopped")
    source.start_migration(destination)
    source.wait_held("stopped")
    source.hold(end)
    if end == "cancelling":
        source.execute("migrate_cancel")
    else:
        source.inject("refuse", at="device")
        source.execute("x-sim-migration-step")
    source.wait_held(end)  # and the test ends, which finds what is left
