"""The destination of a migration that goes on after it has started.

QEMU: migration/savevm.c (loadvm_postcopy_handle_listen, postcopy_pause_incoming),
migration/migration.c (qmp_migrate_recover)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.migration.postcopy_source import BROKEN, PAUSED_BY_USER, Enter

if TYPE_CHECKING:
    from qemu_sim.migration.incoming import Incoming
    from qemu_sim.migration.status import Status
    from qemu_sim.migration.stream import Stream

_LATENCIES_SINCE = (10, 1, 0)
_BUCKETS = 24  # of latencies, by powers of two; BLOCKTIME_LATENCY_BUCKET_N


class PostcopyDestination:
    """Loads a machine, over as many channels as it takes once it has started."""

    def __init__(self, incoming: Incoming, status: Status, enter: Enter) -> None:
        self._incoming = incoming
        self._status = status
        self._enter = enter
        self._next: asyncio.Future[Callable[[], Awaitable[Stream]]] | None = None
        self._is_paused_by_user = False
        self.error: str | None = None

    async def run(self) -> None:
        """Load all there is. Raises what broke the channel, but in postcopy."""
        load = self._incoming.load
        while True:
            try:
                await load()
            except BROKEN as error:
                if not self._incoming.in_postcopy:
                    raise
                await self._recover(error)
                load = self._incoming.load_rest
            else:
                self.error = None
                return

    def pause(self) -> None:
        """Give up the channel, as a client wants it."""
        self._is_paused_by_user = True
        self._incoming.close()

    def recover(self, accept: Callable[[], Awaitable[Stream]]) -> None:
        """Go on with the channel that `accept` gives."""
        assert self._next is not None
        self._next.set_result(accept)

    @property
    def waits(self) -> bool:
        """Whether it waits for a new channel, and none was named yet."""
        return self._next is not None and not self._next.done()

    def blocktime(self, cpus: int, version: tuple[int, int, int]) -> dict[str, Any]:
        """Return how long `cpus` waited for pages: never, as all they use was there before."""
        if not self._incoming.in_postcopy:
            return {}
        found: dict[str, Any] = {"postcopy-blocktime": 0, "postcopy-vcpu-blocktime": [0] * cpus}
        if version >= _LATENCIES_SINCE:
            found |= {"postcopy-latency": 0, "postcopy-latency-dist": [0] * _BUCKETS}
            found |= {"postcopy-vcpu-latency": [0] * cpus, "postcopy-non-vcpu-latency": 0}
        return found

    async def _recover(self, error: Exception) -> None:
        while True:
            self._incoming.close()
            self.error = PAUSED_BY_USER if self._is_paused_by_user else str(error)
            self._is_paused_by_user = False
            self._next = asyncio.get_running_loop().create_future()
            self._status.move("postcopy-paused")
            accept = await self._next
            try:
                self._incoming.attach(await accept())
            except BROKEN as again:
                self._status.move("postcopy-recover")
                error = again
                continue
            await self._enter("postcopy-recover")
            return
