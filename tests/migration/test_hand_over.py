"""A hand-over between two machines of one process: who serves what, at every step."""

from __future__ import annotations

import asyncio
import gc

import pytest

from qemu_sim import faults
from qemu_sim.errors import QMPError
from qemu_sim.fds import open_descriptors
from qemu_sim.hooks import DESTINATION_POINTS, SOURCE_POINTS

BOTH = ["nic0", "nic1"]
BEFORE_COMMIT = SOURCE_POINTS[SOURCE_POINTS.index("connected") : SOURCE_POINTS.index("commit-sent")]


def census():
    """Open descriptors, but for guest RAM and its mapping, which stay with their machine."""
    return {number for number, name in open_descriptors().items() if "guest-ram" not in name}


async def test_everything_moves_and_the_source_lets_go(make_pair):
    pair = await make_pair()
    pair.listen()
    pair.migrate()
    assert await pair.ended() == ("completed", "completed")
    assert pair.source.serving == []
    assert pair.destination.serving == BOTH
    assert all(device.backend.fds == [] for device in pair.source.devices)
    assert pair.source.state_name == "postmigrate"
    assert [device.loaded for device in pair.destination.devices] == [
        {"name": "nic0"},
        {"name": "nic1"},
    ]
    report = pair.source.migration.query()["backend-transfer"]
    assert [entry["outcome"] for entry in report["devices"]] == ["transferred"] * 2
    assert [entry["fds"] for entry in report["devices"]] == [2, 1]
    assert report == pair.destination.migration.query()["backend-transfer"]
    assert 0 < report["blackout-us"] < 1_000_000


async def test_events_come_in_qemus_order(make_pair):
    pair = await make_pair()
    pair.listen()
    pair.migrate()
    await pair.ended()
    assert pair.source.log == ["setup", "active", "pass 2", "STOP", "device", "completed"]
    assert pair.destination.log == ["setup", "active", "continue running", "completed"]


async def test_who_has_not_moved_need_not_say_where_it_is(make_pair):
    pair = await make_pair()
    pair.listen()
    pair.migrate(["nic1"])
    await pair.ended()
    assert pair.destination.stayed == [pair.destination.devices[1].path]
    assert pair.source.stayed is None


async def test_both_sides_can_trace_the_dialogue(make_pair):
    pair = await make_pair()
    pair.listen()
    pair.migrate()
    await pair.ended()
    said = [what for direction, what, _ in pair.source.traced if direction == "out"]
    heard = [what for direction, what, _ in pair.destination.traced if direction == "in"]
    assert said == heard
    assert [what for what in said if what not in ("section", "descriptors")] == ["offer", "commit"]
    assert sum(fds for *_, fds in pair.source.traced) == 3
    answers = [what for direction, what, _ in pair.source.traced if direction == "in"]
    assert answers == ["answer", "ready", "started"]


async def test_a_listed_device_moves_and_the_other_is_reopened(make_pair):
    pair = await make_pair()
    pair.listen()
    pair.migrate(["nic1"])
    assert await pair.ended() == ("completed", "completed")
    for side in (pair.source, pair.destination):
        outcomes = {
            entry["id"]: (entry["outcome"], entry.get("reason"))
            for entry in side.migration.query()["backend-transfer"]["devices"]
        }
        assert outcomes == {
            "nic0": ("reopened", "not in the list of devices"),
            "nic1": ("transferred", None),
        }


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["nope"], "Device 'nope' not found"),
        (["nic0", "nic1", "nope"], "Device 'nope' not found"),
    ],
)
async def test_an_unknown_device_fails_the_command(make_pair, names, text):
    pair = await make_pair()
    with pytest.raises(QMPError, match=text):
        pair.migrate(names)
    assert pair.source.log == []


async def test_a_blocked_listed_device_fails_the_command(make_pair):
    pair = await make_pair()
    pair.source.devices[0].backend.blocker = "it is glued on"
    with pytest.raises(QMPError, match="Device 'nic0' cannot be transferred: it is glued on"):
        pair.migrate(["nic0"])


async def test_explicit_off_is_stronger_than_the_list(make_pair):
    pair = await make_pair()
    pair.source.devices[0].properties["backend-transfer"] = "off"
    with pytest.raises(QMPError, match="backend-transfer=off is set on the device"):
        pair.migrate(["nic0"])


async def test_the_destination_names_what_it_refuses(make_pair):
    pair = await make_pair(there={"nic0": 3, "nic1": 1})
    pair.listen()
    pair.migrate(["nic0"])
    assert await pair.ended() == ("failed", "failed")
    assert pair.source.serving == BOTH
    assert "STOP" not in pair.source.log
    text = "Device 'nic0' cannot be transferred: 2 there, 3 here"
    assert pair.source.migration.query()["error-desc"] == text
    entry = pair.source.migration.query()["backend-transfer"]["devices"][0]
    assert (entry["outcome"], entry["reason"]) == ("refused", "2 there, 3 here")
    assert pair.destination.exit_status == 1


async def test_without_a_list_what_is_refused_is_reopened(make_pair):
    pair = await make_pair(there={"nic0": 3, "nic1": 1})
    pair.listen()
    pair.migrate()
    assert await pair.ended() == ("completed", "completed")
    report = pair.source.migration.query()["backend-transfer"]["devices"]
    assert [(entry["outcome"], entry.get("reason")) for entry in report] == [
        ("reopened", "2 there, 3 here"),
        ("transferred", None),
    ]


@pytest.mark.parametrize("point", BEFORE_COMMIT)
async def test_cancel_anywhere_before_commit(make_pair, point):
    pair = await make_pair()
    before = census()
    pair.listen(exit_on_error=False)
    pair.source.hooks.hold(point)
    pair.migrate()
    assert await pair.source.held.get() == point
    pair.source.migration.cancel()
    assert (await pair.ended())[0] == "cancelled"
    assert pair.owners == BOTH
    assert pair.source.serving == BOTH
    await pair.destination.migration.close()
    assert census() == before


async def test_cancel_before_it_connects(make_pair):
    pair = await make_pair()
    pair.source.hooks.hold("setup")
    pair.migrate()
    assert await pair.source.held.get() == "setup"
    pair.source.migration.cancel()
    assert await pair.source.until("cancelled", "failed") == "cancelled"
    assert pair.source.log == ["setup", "cancelling", "cancelled"]


@pytest.mark.parametrize("hand_over", [False, True])
@pytest.mark.parametrize("turns", range(12))
async def test_cancel_at_any_turn_of_the_loop(make_pair, turns, hand_over):
    pair = await make_pair(shared=hand_over)
    pair.listen(exit_on_error=False)
    pair.migrate(hand_over=hand_over)
    for _ in range(turns):
        await asyncio.sleep(0)
    committed = pair.source.migration.status.value == "completed" or (
        pair.source.migration._last._outgoing
        and not pair.source.migration._last._outgoing.can_still_be_kept()
    )
    pair.source.migration.cancel()
    ends = ("completed", "failed", "cancelled")
    assert await pair.source.until(*ends) == ("completed" if committed else "cancelled")
    assert pair.source.state_name == ("postmigrate" if committed else "running")


@pytest.mark.parametrize("turns", range(8))
async def test_a_destination_may_end_at_any_turn_of_the_loop(make_pair, turns):
    pair = await make_pair()
    pair.listen(exit_on_error=False)
    await asyncio.sleep(0)
    pair.migrate()
    for _ in range(turns):
        await asyncio.sleep(0)
    await pair.destination.migration.close()
    gc.collect()  # what was lost is told by the collector, as an error of this test
    assert await pair.source.until("failed", "completed", "cancelled") == "failed"
    assert pair.source.serving == BOTH


async def test_cancel_means_nothing_to_a_destination(make_pair):
    pair = await make_pair()
    pair.listen()
    pair.destination.migration.cancel()
    pair.migrate()
    assert await pair.ended() == ("completed", "completed")


async def test_cancel_of_what_fails_already_changes_nothing(make_pair):
    pair = await make_pair()
    pair.listen()
    resting, released = asyncio.Event(), asyncio.Event()

    async def restart():
        resting.set()
        await released.wait()

    pair.source.devices[1].restart = restart
    faults.arm(pair.source.hooks, "refuse", "stopped", incoming=False)
    pair.migrate(["nic0"])
    await resting.wait()
    pair.source.migration.cancel()
    released.set()
    assert await pair.source.until("failed", "cancelled") == "failed"


async def test_the_guest_goes_on_without_a_backend_that_cannot(make_pair):
    pair = await make_pair()
    pair.listen()

    async def restart():
        raise QMPError("the server is gone")

    pair.source.devices[1].restart = restart
    faults.arm(pair.source.hooks, "refuse", "stopped", incoming=False)
    pair.migrate(["nic0"])
    assert await pair.ended() == ("failed", "failed")
    assert pair.source.state_name == "running"


async def test_cancel_after_commit_comes_too_late(make_pair):
    pair = await make_pair()
    pair.listen()
    pair.source.hooks.hold("commit-sent")
    pair.migrate()
    await pair.source.held.get()
    pair.source.migration.cancel()
    pair.source.hooks.release()
    assert await pair.ended() == ("completed", "completed")
    assert pair.destination.serving == BOTH


@pytest.mark.parametrize("point", DESTINATION_POINTS)
async def test_a_destination_that_refuses_leaves_one_owner_or_none(make_pair, point):
    pair = await make_pair()
    pair.listen()
    faults.arm(pair.destination.hooks, "refuse", point, incoming=True)
    pair.migrate()
    ends = await pair.ended()
    if point == "ready-sent":  # the source may have sent commit by then, or not
        assert ends == ("failed", "failed")
        assert pair.owners == pair.source.serving
        assert pair.owners in ([], BOTH)
    elif point == "commit-received":  # nobody resumes by itself
        assert ends == ("failed", "failed")
        assert pair.owners == []
        said = pair.source.migration.query()["error-desc"]
        assert "but the destination says it failed: the machine is held here" in said
        assert await pair.source.migration.reclaim()
        pair.source.state_name = "running"
        assert pair.source.serving == BOTH
    elif point == "started":
        assert pair.destination.serving == BOTH
        assert pair.source.serving == []
    else:
        assert ends == ("failed", "failed")
        assert pair.source.serving == BOTH


@pytest.mark.parametrize("point", BEFORE_COMMIT)
async def test_a_source_that_fails_goes_on_as_before(make_pair, point):
    pair = await make_pair()
    pair.listen()
    faults.arm(pair.source.hooks, "refuse", point, incoming=False)
    pair.migrate()
    assert await pair.ended() == ("failed", "failed")
    assert pair.source.serving == BOTH
    assert pair.destination.serving == []
    assert [device.drained for device in pair.source.devices] == [0, 0]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("lose-fd", "nic0: descriptor event\\[1\\] of 2 was announced but no descriptor"),
        ("extra-fd", "nic1: descriptor event.0. of 1 was announced, 2 descriptors came"),
        ("wrong-fd", "Device 'nic0' cannot be transferred"),
        ("swap-devices", "Device 'nic0' cannot be transferred"),
        ("swap-roles", "Device 'nic0' cannot be transferred: descriptors are not those"),
    ],
)
async def test_tampered_descriptors_are_refused_and_closed(make_pair, fault, text):
    pair = await make_pair()
    before = census()
    pair.listen()
    faults.arm(pair.source.hooks, fault, incoming=False)
    pair.migrate()
    assert await pair.ended() == ("failed", "failed")
    assert pair.source.serving == BOTH
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(pair.source.migration.query()["error-desc"])
    assert census() == before


async def test_a_silent_destination_is_given_up(make_pair):
    pair = await make_pair()
    pair.source.migration._phase_timeout = 0.1
    pair.listen()
    pair.destination.hooks.hold("descriptors-received")
    pair.migrate()
    assert await pair.source.until("failed") == "failed"
    text = "timeout after 0.1 s while waiting for the destination to be ready"
    assert pair.source.migration.query()["error-desc"] == text
    assert pair.source.serving == BOTH


async def test_a_second_migration_is_refused(make_pair):
    pair = await make_pair()
    pair.listen()
    pair.source.hooks.hold("connected")
    pair.migrate()
    await pair.source.held.get()
    with pytest.raises(QMPError, match="There's a migration process in progress"):
        pair.migrate()
    pair.source.hooks.release()
    assert await pair.ended() == ("completed", "completed")


async def test_back_and_forth_leaks_nothing(make_pair):
    pair = await make_pair()
    here, there = pair.source, pair.destination
    before = None
    for round_trip in range(20):
        pair.source, pair.destination = (here, there) if round_trip % 2 == 0 else (there, here)
        pair.destination.state_name = "inmigrate"
        pair.listen()
        pair.migrate()
        assert await pair.ended() == ("completed", "completed")
        assert pair.owners == BOTH
        if round_trip == 1:
            before = len(open_descriptors())
    assert len(open_descriptors()) == before


async def test_a_bug_on_the_destination_is_told_and_leaves_the_source_alone(make_pair):
    pair = await make_pair()
    pair.listen()
    pair.destination.bug = repr
    pair.destination.devices[1].load = lambda state: state["no such key"]
    pair.migrate()
    assert await pair.ended() == ("failed", "failed")
    assert "no such key" in pair.source.migration.query()["error-desc"]
    assert pair.source.serving == BOTH
    assert pair.destination.exit_status == 1
