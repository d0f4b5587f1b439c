"""The session of a monitor's next client, as the machine's profile and options want it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qemu_sim.wire.qmp import Session

if TYPE_CHECKING:
    from qemu_sim.qapi.profile import Profile

# Direction "in" or "out", monitor ID, message, descriptors that came with it.
WireLog = Callable[[str, str, Any, int], None]


def new_session(
    profile: Profile, monitor: str, *, pretty: bool, wire_log: WireLog | None
) -> Session:
    """Return a session that is about to greet; `wire_log` is told what passes on `monitor`."""
    log = partial(_log, wire_log, monitor) if wire_log is not None else None
    return Session(profile.version, profile.package, pretty=pretty, log=log)


def _log(wire_log: WireLog, monitor: str, direction: str, message: Any, fds: int) -> None:
    wire_log(direction, monitor, message, fds)
