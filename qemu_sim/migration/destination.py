"""The destination of one migration: what it waits for, and how it ends.

QEMU: migration/migration.c (qemu_start_incoming_migration, process_incoming_migration_co)

`Incoming` is there only while a machine is under way. After a hand-over whose source was
lost it stays, and holds what may be the source's, until `cont` takes it over.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import LoadError, MigrationError
from qemu_sim.migration import multifd
from qemu_sim.migration.attempt import EXPECTED, Attempt
from qemu_sim.migration.incoming import Incoming
from qemu_sim.migration.multifd_receiver import told_apart
from qemu_sim.migration.postcopy_destination import PostcopyDestination
from qemu_sim.migration.take_over import SourceLostError

if TYPE_CHECKING:
    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.transport import Access, Arrival, Transport

_log = logging.getLogger(__name__)

_REASON_KEPT_SINCE = (11, 0, 0)  # error-desc says why; before, it is printed


class MigrationDestination(Attempt):
    """Takes a machine in."""

    _arrival: Arrival | None = None
    _incoming: Incoming | None = None
    _postcopy: PostcopyDestination | None = None
    _skipped: dict[str, Any] | None = None

    def listen(self, transport: Transport, access: Access, *, exit_on_error: bool) -> None:
        """Wait for a source on `transport`. Raises QMPError in QEMU's words."""
        self._arrival = transport.listen(access)
        self._begin(self._receive(self._arrival, transport.NAME, exit_on_error))

    @property
    def postcopy(self) -> PostcopyDestination | None:
        """What loads the machine, over as many channels as it takes."""
        return self._postcopy

    @property
    def waits(self) -> bool:
        """Whether it is paused in postcopy, and no new channel was named yet."""
        return self._postcopy is not None and self._postcopy.waits

    def recover(self, transport: Transport, access: Access) -> None:
        """Go on with a paused postcopy migration, over what a source opens.

        Raises QMPError in QEMU's words.
        """
        assert self._postcopy is not None
        self._arrival = transport.listen(access)
        self._postcopy.recover(partial(self._stream, self._arrival))

    @property
    def holding(self) -> bool:
        """Whether the machine of a lost source is held here."""
        return self._incoming is not None and self._incoming.holding

    async def reclaim(self) -> bool:
        """Start what is held; returns whether anything was."""
        if not self.holding:
            return False
        assert self._incoming is not None
        incoming, self._incoming = self._incoming, None
        incoming.start("cont")
        self.plan = incoming.plan
        return True

    def to_qapi(self, status: str) -> dict[str, Any]:
        """Return the members of MigrationInfo that only a destination has."""
        info: dict[str, Any] = {}
        bound = () if self._arrival is None else self._arrival.bound
        if bound and status in ("none", "setup", "active"):
            info["socket-address"] = list(bound)
        if status == "completed" and self._postcopy is not None:
            info |= self._blocktime(self._postcopy)
        if self._skipped is not None:
            info["x-sim-skipped"] = self._skipped
        return info

    async def close(self) -> None:
        """End whatever is under way and close what is held."""
        await super().close()
        if self._incoming is not None:
            self._incoming.give_up()

    def _blocktime(self, postcopy: PostcopyDestination) -> dict[str, Any]:
        if not self._machine.capabilities.enabled("postcopy-blocktime"):
            return {}
        return postcopy.blocktime(self._machine.cpu_count, self._machine.version)

    async def _receive(self, arrival: Arrival, kind: str, exit_on_error: bool) -> None:
        """The one place where an incoming migration ends."""
        try:
            stream, channels = await self._streams(arrival)
            self._status.move("active")
            stream.name = f"migration-{kind}-incoming"
            incoming = self._incoming = Incoming(self._machine, stream, self._enter, channels)
            await self._load(incoming)
        except asyncio.CancelledError:
            arrival.close()
            self._end("the destination was closed")
        except SourceLostError as error:
            assert self._incoming is not None
            self.error, self.plan = str(error), self._incoming.plan
            self._incoming.close()
            _log.error("%s", error)
            self._status.move("failed")
        except EXPECTED as error:
            self._fail(error, exit_on_error)
        except Exception as error:  # noqa: BLE001  (whatever it is, the source must hear of it)
            self._fail(MigrationError(self._machine.bug(error)), exit_on_error)

    async def _streams(self, arrival: Arrival) -> tuple[Stream, list[Stream]]:
        """Wait for the main channel, and for those of multifd."""
        more = multifd.channels(self._machine)
        if not more:
            return await self._stream(arrival), []
        streams: list[Stream] = []
        try:
            while len(streams) <= more:
                streams.append(await self._stream(arrival))
                multifd.check(streams[0])
            return await told_apart(streams)
        except BaseException:
            for stream in streams:
                stream.close()
            raise

    async def _load(self, incoming: Incoming) -> None:
        await self._machine.hooks.reach("accepted")
        self._postcopy = PostcopyDestination(incoming, self._status, self._enter)
        await self._postcopy.run()
        await incoming.take_over()
        self.plan, self._skipped = incoming.plan, incoming.skipped.to_qapi()
        self._incoming = None
        incoming.close()
        self._status.move("completed")

    def _fail(self, error: Exception, exit_on_error: bool) -> None:
        printed, self.error = self._told(error)
        self._end(str(error))
        for line in printed:
            _log.error("%s", line)
        self._status.move("failed")
        if exit_on_error:
            _log.error("%s", self.error)
            self._machine.exit(1)

    def _told(self, error: Exception) -> tuple[list[str], str]:
        """What is printed of a load that failed, and what clients are told."""
        incoming = self._incoming
        if incoming is None or incoming.plan is not None:
            return [], str(error)
        if not isinstance(error, LoadError):
            error = incoming.cut_off(error) or LoadError(str(error))
        return error.told(keeps_reason=self._machine.version >= _REASON_KEPT_SINCE)

    def _end(self, reason: str) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self.plan = incoming.plan
            incoming.fail(reason)
            incoming.close()
