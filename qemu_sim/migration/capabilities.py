"""Migration capabilities: what a client may switch on and off.

QEMU: migration/options.c (migrate_caps_check)

Names, order and defaults are those of the recorded QEMU. A request is checked as what it
would make of all capabilities, by `_RULES` in their order, and applied as a whole or not
at all. The words are measured on 7.2 and 11.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.migration.parameters import Parameters
    from qemu_sim.qapi.profile import Profile

# Conditions that stand in a rule beside capabilities.
_TRANSFORMED = "(multifd-compression or tls-creds)"
_INCOMING_STARTED = "(incoming started, and the capability is new)"
_DIRTY_RING = "(KVM with a dirty ring)"

_ZERO_COPY = "Zero copy only available for non-compressed non-TLS multifd migration"
_SNAPSHOT = "Background-snapshot is not compatible with {}"
_LATER = (8, 0)  # absent in 7.2, there in 11.1


class _Rule(NamedTuple):
    """Where `capability` is on, `other` must be (or must not be)."""

    capability: str
    other: str
    must_be_on: bool
    text: str
    since: tuple[int, int] = (0, 0)


def _needs(capability: str, other: str, text: str, since: tuple[int, int] = (0, 0)) -> _Rule:
    return _Rule(capability, other, must_be_on=True, text=text, since=since)


def _excludes(capability: str, other: str, text: str, since: tuple[int, int] = (0, 0)) -> _Rule:
    return _Rule(capability, other, must_be_on=False, text=text, since=since)


_SNAPSHOT_EXCLUDES = (
    "postcopy-ram",
    "dirty-bitmaps",
    "postcopy-blocktime",
    "late-block-activate",
    "return-path",
    "multifd",
    "pause-before-switchover",
    "auto-converge",
    "release-ram",
    "rdma-pin-all",
    "compress",
    "xbzrle",
    "x-colo",
    "validate-uuid",
    "zero-copy-send",
)

# In the order in which QEMU looks at them.
_RULES = (
    _needs(
        "x-colo", "return-path", "Capability 'x-colo' requires capability 'return-path'", _LATER
    ),
    _excludes("postcopy-ram", "x-ignore-shared", "Postcopy is not compatible with ignore-shared"),
    *(
        _excludes("background-snapshot", other, _SNAPSHOT.format(other))
        for other in _SNAPSHOT_EXCLUDES
    ),
    _needs("zero-copy-send", "multifd", _ZERO_COPY),
    _excludes("zero-copy-send", "compress", _ZERO_COPY),
    _excludes("zero-copy-send", "xbzrle", _ZERO_COPY),
    _excludes("zero-copy-send", _TRANSFORMED, _ZERO_COPY),
    _needs("postcopy-preempt", "postcopy-ram", "Postcopy preempt requires postcopy-ram"),
    _excludes("postcopy-preempt", "compress", "Postcopy preempt not compatible with compress"),
    _excludes(
        "postcopy-preempt",
        _INCOMING_STARTED,
        "Postcopy preempt must be set before incoming starts",
        _LATER,
    ),
    _excludes("multifd", _INCOMING_STARTED, "Multifd must be set before incoming starts", _LATER),
    _excludes("multifd", "compress", "Multifd is not compatible with compress"),
    _needs(
        "switchover-ack",
        "return-path",
        "Capability 'switchover-ack' requires capability 'return-path'",
    ),
    _excludes(
        "dirty-limit",
        "auto-converge",
        "dirty-limit conflicts with auto-converge either of then available currently",
    ),
    _needs(
        "dirty-limit",
        _DIRTY_RING,
        "dirty-limit requires KVM with accelerator property 'dirty-ring-size' set",
    ),
    _excludes("multifd", "xbzrle", "Multifd is not compatible with xbzrle", _LATER),
    _excludes("mapped-ram", "xbzrle", "Mapped-ram migration is incompatible with xbzrle"),
    _excludes("mapped-ram", "postcopy-ram", "Mapped-ram migration is incompatible with postcopy"),
)

# Capabilities under which a migration here does what QEMU's does, as far as the other side
# and a client can see. Some change only how pages are packed, or when memory is given back.
_SIMULATED = frozenset(
    {
        "events",
        "return-path",
        "postcopy-ram",
        "pause-before-switchover",
        "switchover-ack",
        "validate-uuid",
        "x-ignore-shared",
    }
    | {"xbzrle", "compress", "auto-converge", "multifd", "zero-copy-send", "release-ram"}
    # These have an effect only together with something this machine does not have: block
    # devices to activate or to copy, dirty bitmaps, RDMA, KVM's dirty ring, postcopy.
    | {"late-block-activate", "zero-blocks", "dirty-bitmaps", "rdma-pin-all", "dirty-limit"}
    | {"postcopy-blocktime", "postcopy-preempt", "mapped-ram"}
)


class Capabilities:
    """All capabilities of one machine."""

    def __init__(self, profile: Profile, more: Sequence[str] = ()) -> None:
        """`more` are a dialect's capabilities."""
        listed = profile.section("query-migrate-capabilities")
        self._states: dict[str, bool] = {each["capability"]: each["state"] for each in listed}
        self._states |= dict.fromkeys(more, False)
        self._simulated = _SIMULATED.union(more)
        self._rules = [rule for rule in _RULES if rule.since <= profile.version]

    def enabled(self, name: str) -> bool:
        """Whether a capability is on; False for one that this QEMU lacks."""
        return self._states.get(name, False)

    def names(self) -> frozenset[str]:
        """Return the names of those that are on."""
        return frozenset(name for name, state in self._states.items() if state)

    def query(self) -> list[dict[str, Any]]:
        """Return all capabilities, as query-migrate-capabilities does."""
        return [{"capability": name, "state": state} for name, state in self._states.items()]

    def set(
        self,
        capabilities: list[dict[str, Any]],
        parameters: Parameters | None = None,
        *,
        incoming_started: bool = False,
    ) -> None:
        """Switch [{"capability", "state"}], all or none; the last word on a name counts.

        `parameters` are those that some capabilities exclude. Raises QMPError in QEMU's words.
        """
        wanted = self._states | {each["capability"]: each["state"] for each in capabilities}
        holds = {name for name, state in wanted.items() if state}
        if parameters is not None and parameters.compressed_or_encrypted:
            holds.add(_TRANSFORMED)
        for rule in self._rules:
            is_new = incoming_started and not self._states.get(rule.capability)
            holding = rule.other in holds or (rule.other == _INCOMING_STARTED and is_new)
            if rule.capability in holds and holding != rule.must_be_on:
                raise QMPError(rule.text)
        self._states = wanted

    def not_simulated(self) -> list[str]:
        """Return those that are on and would change a migration, and do not here."""
        return sorted(self.names() - self._simulated)
