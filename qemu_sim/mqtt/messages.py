"""Topics and payloads. schemas/mqtt.asyncapi.json is made from them.

Below `PREFIX/NAME` (prefix of the URL, the machine's -name):

    status          retained StatusMessage; `offline` is the last will, too
    event/EVENT     EventMessage

Delivery is at least once. `sequence` counts the events of one machine from 1, those that
had to be dropped included, so that a subscriber sees gaps and repetitions.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

_UNNAMED = "unnamed"

Status = Literal["online", "offline"]


class _Message(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True
    )

    instance: str = Field(
        description="one run of one machine: a source and its destination may share a name"
    )

    def to_json(self) -> str:
        """Return the payload."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class EventMessage(_Message):
    """A QMP event."""

    sequence: int = Field(ge=1, description="number of this event")
    dropped: int = Field(ge=0, description="how many events before this one were dropped in all")
    event: dict[str, Any] = Field(description="the event as QMP clients get it")


class StatusMessage(_Message):
    """Whether the machine is there, and its run state as in query-status."""

    status: Status
    run_state: str | None = Field(default=None, description="missing when it is offline")
    pid: int = Field(description="the process")


class Topics:
    """The topics of one machine."""

    def __init__(self, prefix: str, name: str | None) -> None:
        """`name` may hold any character; those with a meaning in topics are escaped."""
        self._base = f"{prefix}/{quote(name or _UNNAMED, safe=' ')}"

    @property
    def status(self) -> str:
        """Where the status is."""
        return f"{self._base}/status"

    def event(self, name: str) -> str:
        """Return where the events `name` go."""
        return f"{self._base}/event/{name}"
