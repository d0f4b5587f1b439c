"""A start that nobody can wait for, because it takes a server's answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from qemu_sim.errors import QMPError

_log = logging.getLogger(__name__)


class BackgroundStart:
    """What goes wrong with it makes the device silent, and is printed, as in QEMU."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether it has begun and not ended."""
        return self._task is not None

    def begin(self, start: Callable[[], Awaitable[None]]) -> None:
        """Call `start`, which may raise QMPError, unless one is under way."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(start))

    async def over(self) -> None:
        """Wait until nothing is under way."""
        if self._task is not None:
            await self._task

    def cancel(self) -> None:
        """Start no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, start: Callable[[], Awaitable[None]]) -> None:
        try:
            await start()
        except QMPError as error:
            _log.error("%s", error)
        finally:
            self._task = None
