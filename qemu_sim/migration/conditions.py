"""What parameters, capabilities and the guest mean for the RAM model.

QEMU: migration/options.c, migration/migration.c (migration_rate_set)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from qemu_sim.clock import SECOND
from qemu_sim.migration.ram_model import Conditions
from qemu_sim.migration.throttle import Throttling

if TYPE_CHECKING:
    from qemu_sim.migration.capabilities import Capabilities
    from qemu_sim.migration.guest_load import GuestLoad
    from qemu_sim.migration.parameters import Parameters
    from qemu_sim.virtio.memory import GuestMemory

CHANNEL = 1_250_000_000.0  # bytes a second that one channel carries: 10 Gbit/s
_LATE_SYNC = 5 * SECOND  # CPU_THROTTLE_DIRTY_SYNC_TIMESLICE_MS
_LATE_SYNC_SINCE = (9, 2)


class Conditioned(Protocol):
    """What the conditions come from."""

    @property
    def version(self) -> tuple[int, int, int]:
        """The QEMU version."""

    @property
    def parameters(self) -> Parameters:
        """The migration parameters."""

    @property
    def capabilities(self) -> Capabilities:
        """The migration capabilities."""

    @property
    def guest_load(self) -> GuestLoad:
        """What the guest is said to do."""

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""

    @property
    def is_running(self) -> bool:
        """Whether the guest runs."""


def conditions(source: Conditioned, phase: str) -> Conditions:
    """Return the conditions in `phase`: "precopy", "downtime" or "postcopy"."""
    parameters, capabilities = source.parameters, source.capabilities
    bandwidth = _bandwidth(source, phase)
    load = source.guest_load
    return Conditions(
        bandwidth=bandwidth,
        switchover_bandwidth=parameters.get("avail-switchover-bandwidth") or bandwidth,
        downtime_limit=parameters["downtime-limit"] / 1000,
        dirty_rate=load.rate if source.is_running else 0,
        working_set=load.working_set(source.memory),
        stands=not source.is_running,
        multifd=_multifd(source),
        xbzrle_cache=parameters["xbzrle-cache-size"] if capabilities.enabled("xbzrle") else 0,
        **_auto_converge(source),
    )


def _bandwidth(source: Conditioned, phase: str) -> float:
    """Return bytes a second: what is allowed, or what all channels carry, if that is less."""
    parameters = source.parameters
    has_multifd = source.capabilities.enabled("multifd")
    carried = CHANNEL * (parameters["multifd-channels"] if has_multifd else 1)
    if phase == "downtime":  # the limit is lifted as soon as the guest stands still
        return carried
    allowed = parameters["max-bandwidth" if phase == "precopy" else "max-postcopy-bandwidth"]
    return min(allowed or carried, carried)


def _multifd(source: Conditioned) -> frozenset[str]:
    """Return the kinds of pages that travel in its channels."""
    if not source.capabilities.enabled("multifd"):
        return frozenset()
    finds_zeroes = source.parameters.get("zero-page-detection") == "multifd"
    return frozenset({"normal", "zero"} if finds_zeroes else {"normal"})


def _auto_converge(source: Conditioned) -> dict[str, Any]:
    if not source.capabilities.enabled("auto-converge"):
        return {}
    parameters = source.parameters
    throttling = Throttling(
        initial=parameters["cpu-throttle-initial"],
        increment=parameters["cpu-throttle-increment"],
        maximum=parameters["max-cpu-throttle"],
        threshold=parameters["throttle-trigger-threshold"],
        tailslow=parameters["cpu-throttle-tailslow"],
    )
    late = {"sync_period": _LATE_SYNC} if source.version >= _LATE_SYNC_SINCE else {}
    return {"throttling": throttling, **late}
