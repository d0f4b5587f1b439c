"""An event loop on a thread of its own, called from other threads and loops.

The bridge between a test, which may block, and machines, which may not.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from qemu_sim.testing.client import MachineEnded, QMPError
from qemu_sim.testing.launch import StartFailed
from qemu_sim.testing.traps import NotHeld

THREAD_NAME = "qemu-sim"
_GRACE = 5.0  # seconds beyond a call's own limit before its loop counts as stuck

# What a machine tells a test; how that came from one thread to the other is of no interest.
_TOLD = (QMPError, MachineEnded, NotHeld, StartFailed)
__tracebackhide__ = True  # pytest: a failed test shows its own lines

_T = TypeVar("_T")


class LoopThread:
    """Runs coroutines; starts at once and ends with `close`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._complaints: list[str] = []
        self.loop.set_exception_handler(self._note)
        self._thread = threading.Thread(target=self.loop.run_forever, name=THREAD_NAME)
        self._thread.daemon = True  # a stuck machine must not keep pytest from ending
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, _T], timeout: float) -> _T:
        """Block until `coroutine`, which has `timeout` seconds, is done."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout + _GRACE)
        except TimeoutError as error:
            if future.cancel():
                raise TimeoutError("the event loop of the machines is stuck") from None
            raise error.with_traceback(None) from None
        except _TOLD as error:
            raise error.with_traceback(None) from None

    async def wait(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Await `coroutine` from another event loop."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return await asyncio.wrap_future(future)
        except (*_TOLD, TimeoutError) as error:
            raise error.with_traceback(None) from None

    def close(self) -> list[str]:
        """End the thread; returns a line for each task and error that was left on it."""
        left = self.call(_cancel_all(), _GRACE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_GRACE)
        if self._thread.is_alive():
            return [*self._complaints, f"thread still runs: {self._thread.name}"]
        self.loop.close()
        return [*self._complaints, *left]

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._complaints.append(f"error on the event loop: {context['message']}: {error!r}")


async def _cancel_all() -> list[str]:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    await asyncio.get_running_loop().shutdown_default_executor()
    return [f"task left behind: {task.get_name()} {task.get_coro()}" for task in tasks]
