"""Who can hand over what: plan, offer, answer and report of a backend transfer.

Proposed for QEMU, in no release; this is the form with arguments of `migrate`.

    source                                destination
      plan   which devices, or why not
      offer  ------------------------->   judge each: take it, or why not
             <-------------------------   answer; what is not taken is open already
      (RAM, devices), stop, descriptors ->  adopt: check everything, touch nothing
             <-------------------------   ready
      commit ------------------------->   activate: serves from now on
             <-------------------------   started
      release: closes its copies

Until commit is sent the source owns every backend and resumes on any error. From then on
it never resumes by itself. A destination without commit never starts; when the source dies
between ready and commit it keeps what it holds, stopped, and an operator's `cont` makes it
the owner. So no moment has two owners; `ownership.py` has this as tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.fds import TaggedFd


class Backend(Protocol):
    """An owner of host descriptors that may travel to another process."""

    @property
    def TYPE(self) -> str:  # noqa: N802  (a class constant in every implementation)
        """What both sides call this kind of backend."""

    def transfer_blocker(self) -> str | None:
        """Why it cannot travel; asked on both sides. None: it can."""

    def identity(self) -> dict[str, Any]:
        """JSON facts the destination compares before anything moves."""

    def mismatch(self, offered: dict[str, Any]) -> str | None:
        """On the destination: why an offered identity does not fit; names both values."""

    def quiesce(self) -> None:
        """On the source: touch the descriptors no more. Raises MigrationError if it cannot."""

    def unquiesce(self) -> None:
        """On the source: undo `quiesce`."""

    def hand_over(self) -> tuple[dict[str, Any], list[TaggedFd]]:
        """On the source: the state (JSON) and the descriptors, which stay its own."""

    def adopt(self, state: dict[str, Any], fds: list[TaggedFd]) -> None:
        """On the destination: verify each descriptor, then own it, changing nothing in it.

        On any doubt close what was received and raise MigrationError.
        """

    def activate(self) -> None:
        """On the destination, after commit: the descriptors may be used."""

    def disown(self) -> None:
        """On the destination: close what was adopted."""

    def release(self) -> None:
        """On the source, after commit: close its copies."""


class Transferable(Protocol):
    """A device as a hand-over sees it."""

    id: str | None
    path: str
    properties: dict[str, Any]

    @property
    def name(self) -> str:
        """What a message calls the device."""

    @property
    def section(self) -> str:
        """What its section is called; that of a device with a backend is its path."""

    @property
    def backend(self) -> Backend | None:
        """The backend behind it, if there is one."""

    async def open(self) -> None:
        """Take the host's resources the ordinary way."""

    async def drain(self) -> None:
        """Finish what the backend has under way."""

    async def restart(self) -> None:
        """Undo `drain`."""

    def save(self) -> dict[str, Any]:
        """Return the state of the device and its guest driver."""

    def load(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""


@dataclass(slots=True)
class Entry:
    """One device in one hand-over, and in its report.

    `outcome` is None as long as the device is to be transferred.
    """

    device: Transferable
    required: bool
    outcome: str | None = None
    reason: str | None = None
    fds: int = 0
    blackout_us: int | None = None

    def reopen(self, reason: str) -> None:
        """Leave the device out: the destination opens its own backend."""
        self.outcome, self.reason = "reopened", reason

    def refuse(self, reason: str) -> str:
        """Mark a device that had to travel and cannot; returns the error's text."""
        self.outcome, self.reason = "refused", reason
        return f"Device '{self.device.name}' cannot be transferred: {reason}"

    def to_qapi(self) -> dict[str, Any]:
        """Return the QAPI BackendTransferDevice."""
        reason = self.reason
        if self.outcome is None:
            reason = "the migration has not completed"
        optional = {"id": self.device.id, "reason": reason, "blackout-us": self.blackout_us}
        return {
            "qom-path": self.device.path,
            "outcome": self.outcome or "refused",
            "fds": self.fds,
            **{name: value for name, value in optional.items() if value is not None},
        }


@dataclass(slots=True)
class Plan:
    """What one hand-over is to do with each device that has a backend."""

    entries: list[Entry] = field(default_factory=list)
    blackout_us: int | None = None
    ram_shared: bool = False
    """Whether the destination runs on the very RAM of the source, not on a copy."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether, once all went well, another process uses what was the source's."""
        return self.ram_shared or bool(self.transferred())

    def transferred(self) -> list[Entry]:
        """Return the entries (still) to be transferred, in device order."""
        return [entry for entry in self.entries if entry.outcome in (None, "transferred")]

    def to_qapi(self) -> dict[str, Any]:
        """Return the QAPI BackendTransferInfo."""
        report: dict[str, Any] = {"devices": [entry.to_qapi() for entry in self.entries]}
        if self.blackout_us is not None:
            report["blackout-us"] = self.blackout_us
        return report


def is_on_by_default(machine_type: str, newest: Iterable[str]) -> bool:
    """Whether `backend-transfer=auto` means on for a machine type.

    On for the types that the aliases stand for and for unversioned ones, off for each
    older versioned type, so that a machine which may go back to an older QEMU is left alone.
    """
    return machine_type in newest or not re.search(r"-\d+\.\d+$", machine_type)


def switched_off(device: Transferable, default_on: bool) -> str | None:
    """Why the flag alone does not take the device along, None if it does."""
    switch = device.properties.get("backend-transfer", "auto")
    if switch == "off":
        return "backend-transfer=off is set on the device"
    if switch == "auto" and not default_on:
        return "backend-transfer is off by default for this machine type"
    return None


def plan(devices: Sequence[Transferable], names: Sequence[str] | None, default_on: bool) -> Plan:
    """Plan the source's side of a hand-over.

    `names` are the listed device IDs or QOM paths, None for "whatever can". Raises
    QMPError for a listed device that is unknown, has no backend or cannot travel.
    """
    listed = None if names is None else {_find(devices, name).path for name in names}
    entries = []
    for device in devices:
        backend = device.backend
        if backend is None:
            continue
        entry = Entry(device, required=listed is not None)
        if listed is None:
            reason = switched_off(device, default_on) or backend.transfer_blocker()
        elif device.path in listed:
            _check_listed(entry, backend)
            reason = None
        else:
            reason = "not in the list of devices"
        if reason is not None:
            entry.required = False
            entry.reopen(reason)
        entries.append(entry)
    return Plan(entries)


def support(devices: Sequence[Transferable], default_on: bool) -> list[dict[str, Any]]:
    """Return the QAPI BackendTransferSupport of each device."""
    found = []
    for device in devices:
        backend = device.backend
        if backend is None:
            reason: str | None = "no attached backend"
        else:
            reason = switched_off(device, default_on) or backend.transfer_blocker()
        optional = {"id": device.id, "backend-type": backend and backend.TYPE, "reason": reason}
        found.append(
            {
                "qom-path": device.path,
                "transferable": reason is None,
                **{name: value for name, value in optional.items() if value is not None},
            }
        )
    return found


def _find(devices: Sequence[Transferable], name: str) -> Transferable:
    for device in devices:
        if name in (device.id, device.path):
            if device.backend is None:
                raise QMPError(f"Device {name} has no attached backend")
            return device
    raise QMPError(f"Device '{name}' not found")


def _check_listed(entry: Entry, backend: Backend) -> None:
    """Raise QMPError if a listed device cannot travel: `off` is stronger than the list."""
    switch = entry.device.properties.get("backend-transfer", "auto")
    reason = "backend-transfer=off is set on the device" if switch == "off" else None
    reason = reason or backend.transfer_blocker()
    if reason is not None:
        raise QMPError(entry.refuse(reason))
