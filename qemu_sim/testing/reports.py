"""What a machine reports, as types: the migration with its backends, and the guest.

The models keep members that they do not name, under `model_extra`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Report(BaseModel):
    model_config = ConfigDict(
        extra="allow", frozen=True, alias_generator=lambda name: name.replace("_", "-")
    )


class DeviceTransfer(_Report):
    """What became of one device's backend. `blackout_us` is how long nobody served it."""

    id: str | None = None
    qom_path: str
    outcome: Literal["transferred", "reopened", "refused"]
    reason: str | None = None
    fds: int
    blackout_us: int | None = None


class BackendTransfer(_Report):
    """What became of all of them."""

    devices: list[DeviceTransfer]
    blackout_us: int | None = None


class MigrationReport(_Report):
    """The answer to query-migrate; `status` is None before any migration. Times are in ms."""

    status: str | None = None
    error_desc: str | None = None
    total_time: int | None = None
    downtime: int | None = None
    ram: dict[str, float] = {}
    backend_transfer: BackendTransfer | None = None

    @property
    def devices(self) -> dict[str, DeviceTransfer]:
        """Each device's entry, by its ID (or QOM path if it has none)."""
        entries = self.backend_transfer.devices if self.backend_transfer else []
        return {entry.id or entry.qom_path: entry for entry in entries}


class Outcome(BaseModel):
    """How one migration ended, on either side."""

    source: MigrationReport
    destination: MigrationReport


class GuestDevice(_Report):
    """What the simulated guest did with one device."""

    device: str
    requests: int
    errors: int
    inflight: int
    frames_in: int
    frames_out: int
    largest_gap_us: int = Field(description="between two completions")
