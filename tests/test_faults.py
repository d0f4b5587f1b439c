"""What may be armed, and where."""

from __future__ import annotations

import asyncio
import os

import pytest

from qemu_sim import faults
from qemu_sim.clock import RealClock
from qemu_sim.errors import MigrationError, QMPError
from qemu_sim.fds import Fd
from qemu_sim.hooks import POINTS, Hooks, check_passed


def hooks(told=None):
    """Hooks that tell `told`, a list, their events."""
    emit = (lambda *_: None) if told is None else (lambda *event: told.append(event))
    return Hooks(emit, RealClock())


@pytest.mark.parametrize(
    ("fault", "at", "says"),
    [
        ("rust", None, "does not accept value 'rust': there are die, extra-fd, lose-fd, refuse"),
        ("refuse", "noon", "does not accept value 'noon': there are setup, connected"),
        ("lose-fd", "ready-sent", "fault 'lose-fd' strikes when descriptors are sent, not at"),
        ("refuse", "cancelling", "fault 'refuse' has nothing to break at 'cancelling'"),
        ("refuse", "failing", "fault 'refuse' has nothing to break at 'failing'"),
    ],
)
def test_what_makes_no_sense_is_refused(fault, at, says):
    with pytest.raises(QMPError, match=says):
        faults.arm(hooks(), fault, at, incoming=True)


@pytest.mark.parametrize(("fault", "at"), [("die", "failing"), ("refuse", "stopped")])
def test_where_it_can_strike_it_is_taken(fault, at):
    faults.arm(hooks(), fault, at, incoming=True)


def test_a_machine_is_not_held_where_it_never_comes_by():
    check_passed("ready-sent", incoming=True)
    check_passed("stopped", incoming=False)
    with pytest.raises(QMPError, match="only a machine that was started with -incoming"):
        check_passed("ready-sent", incoming=False)


@pytest.mark.parametrize("incoming", [True, False])
def test_a_fault_is_not_armed_where_the_machine_never_comes_by(incoming):
    if incoming:
        faults.arm_text(hooks(), "refuse@ready-sent", incoming=incoming)
        return
    with pytest.raises(QMPError, match="only a machine that was started with -incoming"):
        faults.arm_text(hooks(), "refuse@ready-sent", incoming=incoming)


@pytest.mark.parametrize("point", ["before-stop", "accepted"])
async def test_without_a_point_a_fault_strikes_once_on_either_side(point):
    told = []
    armed = hooks(told)
    faults.arm(armed, "refuse", incoming=False)
    await armed.reach("setup")
    with pytest.raises(MigrationError, match="refused by an injected fault"):
        await armed.reach(point)
    for each in POINTS:
        await armed.reach(each)
    assert told == [("X_SIM_FAULT_STRUCK", {"fault": "refuse", "at": point})]


async def test_two_faults_at_one_point_strike_one_after_the_other():
    armed = hooks()
    for _ in range(2):
        faults.arm(armed, "refuse", "stopped", incoming=False)
        faults.arm(armed, "refuse", "stopped", incoming=False)
    for _ in range(4):
        with pytest.raises(MigrationError):
            await armed.reach("stopped")
    await armed.reach("stopped")


def pipe():
    return [Fd(number) for number in os.pipe2(os.O_CLOEXEC)]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("swap-devices", "fault 'swap-devices' needs descriptors of two devices"),
        ("swap-roles", "fault 'swap-roles' needs two descriptors, 'nic0' has one"),
    ],
)
def test_what_there_is_too_little_for_has_not_struck(fault, says):
    told = []
    armed = hooks(told)
    faults.arm(armed, fault, incoming=False)
    with pytest.raises(MigrationError, match=says), armed.descriptors({"nic0": [[]]}):
        pass
    assert told == []


def test_a_fault_of_descriptors_waits_for_some():
    told = []
    armed = hooks(told)
    faults.arm(armed, "lose-fd", incoming=False)
    with armed.descriptors({}) as sent:
        assert sent == {}
    assert told == []
    reader, writer = pipe()
    with reader, writer, armed.descriptors({"nic0": [[reader], [writer]]}) as sent:
        assert sent == {"nic0": [[reader], []]}
    assert told == [("X_SIM_FAULT_STRUCK", {"fault": "lose-fd"})]


async def test_nothing_is_released_where_nothing_is_held():
    armed = hooks()
    with pytest.raises(QMPError, match=r"^Nothing is held, and nothing is to be held$"):
        armed.release()
    with pytest.raises(QMPError, match=r"^Nothing is held$"):
        armed.step()
    armed.hold("stopped")
    armed.release()  # it was never reached, and is forgotten
    await armed.reach("stopped")
    with pytest.raises(QMPError):
        armed.release()


async def test_a_step_ends_with_its_migration():
    told = []
    armed = hooks(told)
    armed.hold("started-received")
    passing = asyncio.create_task(armed.reach("started-received"))
    await asyncio.sleep(0)
    assert armed.waiting_at == "started-received"
    armed.step()
    await passing
    armed.ended()
    await armed.reach("setup")  # of the next one
    assert [data["at"] for _, data in told] == ["started-received"]
