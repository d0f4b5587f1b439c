"""The thread between a test and its machines."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from qemu_sim.testing import loop_thread
from qemu_sim.testing.loop_thread import THREAD_NAME, LoopThread


async def double(number):
    await asyncio.sleep(0)
    return 2 * number


async def fail():
    raise LookupError("inside")


@pytest.fixture
def thread():
    made = LoopThread()
    yield made
    if not made.loop.is_closed():
        made.close()


def test_results_and_errors_come_back(thread):
    assert thread.call(double(4), 5) == 8
    with pytest.raises(LookupError, match="inside"):
        thread.call(fail(), 5)
    assert thread.close() == []
    assert THREAD_NAME not in [left.name for left in threading.enumerate()]


async def test_another_loop_may_await(thread):
    assert await asyncio.gather(*(thread.wait(double(n)) for n in range(3))) == [0, 2, 4]


def test_a_stuck_loop_is_said_to_be(thread, monkeypatch):
    monkeypatch.setattr(loop_thread, "_GRACE", 0.05)
    thread.loop.call_soon_threadsafe(time.sleep, 0.5)
    with pytest.raises(TimeoutError, match="the event loop of the machines is stuck"):
        thread.call(double(1), 0.05)
    monkeypatch.undo()
    assert thread.call(double(1), 5) == 2


def test_what_is_left_on_it_is_listed(thread):
    async def leave():
        kept.append(asyncio.create_task(asyncio.sleep(1000), name="sleeper"))

    kept = []
    thread.call(leave(), 5)
    thread.loop.call_soon_threadsafe(lambda: 1 / 0)
    complaints = thread.close()
    assert "division by zero" in complaints[0]
    assert complaints[1].startswith("task left behind: sleeper ")
