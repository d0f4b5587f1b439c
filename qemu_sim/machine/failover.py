"""Pairs of NICs: a standby that migrates, and a primary that is left behind and plugged anew.

QEMU: hw/net/virtio-net.c (failover_*), docs/system/virtio-net-failover.rst

The standby is a virtio-net-pci with failover=on, the primary any NIC whose
`failover_pair_id` names it. A primary stays hidden until the guest's driver of the standby
has said that it knows what that is (FAILOVER_NEGOTIATED). A migration has the guest give
the primary back first (UNPLUG_PRIMARY), which a guest that stands still does not do.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.board import Board
    from qemu_sim.machine.events import Events
    from qemu_sim.machine.runstate import RunState

_PAIR = "failover_pair_id"
_STANDBY = "virtio-net-pci"  # and of the primaries that are simulated, too
_log = logging.getLogger(__name__)


class Paired(Protocol):
    """What failover needs of its machine."""

    @property
    def board(self) -> Board:
        """Where NICs are plugged."""

    @property
    def events(self) -> Events:
        """Where it is told what happens."""

    @property
    def run_state(self) -> RunState:
        """Whether the guest runs."""

    def bug(self, error: Exception) -> str:
        """Record what nobody foresaw."""


class _Primary(NamedTuple):
    """What a primary was asked for with."""

    kind: str
    id: str
    given: dict[str, Any]
    typed: bool


class Failover:
    """All pairs of one machine."""

    def __init__(self, machine: Paired) -> None:
        self._machine = machine
        self._primaries: dict[str, _Primary] = {}  # by standby
        self._negotiated: set[str] = set()
        self._plugging: set[asyncio.Task[None]] = set()
        self._runs = asyncio.Event()
        self._moved()
        machine.run_state.watch(self._moved)

    @staticmethod
    def check(kind: str, bus: str) -> None:
        """Raise QMPError in QEMU's words for what cannot be a primary, on that type of bus."""
        if bus != "PCIE":
            raise QMPError("failover primary device must be on PCIExpress bus")
        if kind != _STANDBY:
            raise QMPError("failover primary device is not an Ethernet device")

    def hides(self, kind: str, id: str | None, given: dict[str, Any], *, typed: bool) -> bool:
        """Whether a new primary has to wait for its standby. Raises QMPError in QEMU's words."""
        pair = given[_PAIR]
        standbys = [each for each in self._machine.board.devices if _is_standby(each)]
        if standbys and id is None:
            raise QMPError("Device with failover_pair_id needs to have id")
        if id is None or pair not in [each.id for each in standbys]:
            return False
        first = self._primaries.setdefault(pair, _Primary(kind, id, given, typed))
        if first.id != id:
            raise QMPError(
                f"Cannot attach more than one primary device to '{pair}': '{first.id}' and '{id}'"
            )
        return pair not in self._negotiated

    def negotiate(self, standby: str) -> None:
        """The driver of a standby knows what it is: plug its primary, soon."""
        if standby in self._negotiated:
            return
        self._negotiated.add(standby)
        self._machine.events.emit("FAILOVER_NEGOTIATED", {"device-id": standby})
        if standby not in self._primaries:
            _log.warning("Primary device not found")
        elif not self._plugged(standby):
            task = asyncio.get_running_loop().create_task(self._plug(self._primaries[standby]))
            self._plugging.add(task)
            task.add_done_callback(self._plugging.discard)

    def negotiate_again(self, standby: str) -> None:
        """The driver of a standby begins anew, as soon as the guest runs."""
        self._negotiated.discard(standby)
        if self._runs.is_set():
            self.negotiate(standby)

    def stays_behind(self, device: Device) -> bool:
        """Whether a migration leaves that device here."""
        return device in self._leaving

    def request_unplug(self) -> bool:
        """Ask the guest to give its primaries back (UNPLUG_PRIMARY); whether there are any."""
        for device in self._leaving:
            self._machine.events.emit("UNPLUG_PRIMARY", {"device-id": device.id})
        return bool(self._leaving)

    async def unplug(self) -> None:
        """Wait until the guest has given its primaries back, for which it has to run."""
        await self._runs.wait()
        for device in self._leaving:
            device.halt()
            device.unplugged = True

    def plug_again(self) -> None:
        """Give the guest its primaries again: it stays here."""
        for device in self._leaving:
            device.unplugged = False
            if self._runs.is_set():
                device.run()

    def close(self) -> None:
        """Plug nothing more."""
        for task in self._plugging:
            task.cancel()

    @property
    def _leaving(self) -> list[Device]:
        return [each for pair in sorted(self._negotiated) for each in self._plugged(pair)]

    def _plugged(self, standby: str) -> list[Device]:
        primary = self._primaries.get(standby)
        devices = self._machine.board.devices
        return [each for each in devices if primary is not None and each.id == primary.id]

    async def _plug(self, primary: _Primary) -> None:
        kind, id, given, typed = primary
        try:
            device = await self._machine.board.add_device(
                kind, id, given, typed=typed, hotplug=True
            )
        except QMPError as error:
            _log.warning("primary '%s' is not plugged: %s", id, error)
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self._machine.bug(error)
        else:
            if device is not None and self._runs.is_set():
                device.run()

    def _moved(self) -> None:
        if self._machine.run_state.running:
            self._runs.set()
        else:
            self._runs.clear()


def _is_standby(device: Device) -> bool:
    return device.TYPE == _STANDBY and device.properties.get("failover") is True
