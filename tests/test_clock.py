"""The clock: what a manual one does in which order, and how fast a scaled one is."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from qemu_sim import clock as clocks
from qemu_sim.clock import MILLISECOND, SECOND, Alarm, ManualClock, RealClock
from qemu_sim.errors import QMPError


async def sleep_until(clock, when):
    await Alarm(clock).wait(when)


@pytest.mark.parametrize("text", ["", "0x", "-1x", "x", "100", "1e3x", "Manual"])
def test_a_clock_that_is_none_is_refused(text):
    with pytest.raises(QMPError, match="expects 'real', 'manual' or a speed such as '100x'"):
        clocks.make(text)


def test_a_real_clock_is_the_host_s():
    clock = clocks.make("real")
    before = time.monotonic_ns(), time.time_ns()
    now = clock.now(), clock.wall()
    after = time.monotonic_ns(), time.time_ns()
    assert before[0] <= now[0] <= after[0]
    assert before[1] <= now[1] <= after[1]


async def test_a_scaled_clock_runs_as_many_times_as_fast():
    clock = clocks.make("1000x")
    real, begun, shown = time.monotonic_ns(), clock.now(), clock.wall()
    await Alarm(clock).wait(begun + 10 * SECOND)
    # The loop may call a timer as much as its clock's resolution too early.
    assert clock.now() - begun >= 10 * SECOND - MILLISECOND
    assert clock.wall() - shown >= 9 * SECOND
    assert time.monotonic_ns() - real >= 9 * MILLISECOND
    assert clock.now() - begun <= 1000 * (time.monotonic_ns() - real)


async def test_a_timer_of_a_real_clock_can_be_cancelled():
    clock, called = RealClock(1000), []
    clock.call_at(clock.now() + SECOND, lambda: called.append("cancelled")).cancel()
    await Alarm(clock).wait(clock.now() + 2 * SECOND)
    assert called == []


async def test_a_manual_clock_stands_still_and_starts_the_same_each_time():
    assert ManualClock().wall() == ManualClock().wall()
    clock = clocks.make("manual")
    begun = clock.now(), clock.wall()
    await asyncio.sleep(0.001)
    assert (clock.now(), clock.wall()) == begun
    await clock.advance(5)
    assert (clock.now(), clock.wall()) == (begun[0] + 5, begun[1] + 5)


async def test_timers_are_called_in_order_at_their_own_time():
    clock, called = ManualClock(), []
    for name, when in [("late", 30), ("early", 10), ("after early", 10), ("never", 99)]:
        clock.call_at(when, lambda name=name: called.append((name, clock.now())))
    clock.call_at(20, lambda: called.append("cancelled")).cancel()
    clock.call_at(10, lambda: clock.call_at(15, lambda: called.append(("new", clock.now()))))
    await clock.advance(50)
    assert called == [("early", 10), ("after early", 10), ("new", 15), ("late", 30)]
    assert clock.now() == 50


async def test_a_timer_that_was_called_may_be_cancelled():
    clock, called = ManualClock(), []
    timer = clock.call_at(1, lambda: called.append(1))
    await clock.advance(1)
    timer.cancel()
    assert called == [1]


async def test_what_one_timer_woke_is_over_before_the_next_is_due():
    clock, seen = ManualClock(), []

    async def work():
        await sleep_until(clock, 10)
        for _ in range(50):  # many turns of the loop, all of them at one time
            await asyncio.sleep(0)
        seen.append(("worked", clock.now()))
        await sleep_until(clock, 30)
        seen.append(("ended", clock.now()))

    task = asyncio.create_task(work())
    clock.follow(task)
    clock.call_at(20, lambda: seen.append(("next", clock.now())))
    await clock.advance(40)
    assert seen == [("worked", 10), ("next", 20), ("ended", 30)]
    await task


async def test_advance_waits_for_a_task_that_waits_for_the_world():
    clock = ManualClock()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def ask_a_peer():
        await sleep_until(clock, 1)
        return await asyncio.get_running_loop().sock_recv(ours, 1), clock.now()

    task = asyncio.create_task(ask_a_peer())
    clock.follow(task)
    advancing = asyncio.create_task(clock.advance(10))
    await asyncio.sleep(0.01)
    assert not advancing.done()
    assert clock.now() == 1
    theirs.send(b"x")
    await advancing
    assert task.result() == (b"x", 1)
    ours.close()
    theirs.close()


async def test_an_alarm_rings_before_its_time():
    clock = ManualClock()
    alarm, woken = Alarm(clock), []

    async def wait():
        await alarm.wait(100)
        woken.append(clock.now())
        await alarm.wait(100)
        woken.append(clock.now())

    task = asyncio.create_task(wait())
    clock.follow(task)
    await clock.advance(5)
    alarm.ring()
    await clock.advance(200)
    assert woken == [5, 100]
    await task


async def test_a_ring_that_comes_first_is_not_lost():
    alarm = Alarm(ManualClock())
    alarm.ring()
    alarm.ring()
    await alarm.wait()
    waiting = asyncio.create_task(alarm.wait())
    await asyncio.sleep(0.001)
    assert not waiting.done()
    alarm.ring()
    await waiting


async def test_a_cancelled_wait_leaves_no_timer_and_holds_nobody_up():
    clock = ManualClock()
    task = asyncio.create_task(Alarm(clock).wait(10))
    clock.follow(task)
    await clock.advance(5)
    task.cancel()
    await clock.advance(20)
    assert task.cancelled()
    assert clock._timers == []
