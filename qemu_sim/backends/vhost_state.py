"""What a vhost-user session knows besides its descriptors, and its form in a hand-over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from qemu_sim.backends.vhost_dialogue import Terms
from qemu_sim.errors import MigrationError
from qemu_sim.virtio.queue import Ring
from qemu_sim.wire.vhost_user import Inflight

_NO_TERMS = Terms(0, 0, b"")


@dataclass(slots=True)
class VhostState:
    """Agreed terms, inflight geometry, and the rings the server was told of.

    `bases` counts, for each ring, the chains the server had taken when it was started
    or last stopped, modulo 2^16.
    """

    terms: Terms = _NO_TERMS
    inflight: Inflight | None = None
    rings: list[Ring] = field(default_factory=list)
    bases: list[int] = field(default_factory=list)
    started: bool = False

    def save(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {
            "features": self.terms.features,
            "protocol-features": self.terms.protocol_features,
            "config": self.terms.config.hex(),
            "inflight": self.inflight,
            "rings": self.rings,
            "bases": self.bases,
            "started": self.started,
        }

    @classmethod
    def load(cls, state: dict[str, Any]) -> Self:
        """Undo `save`. Raises MigrationError on anything else."""
        try:
            config = bytes.fromhex(state["config"])
            return cls(
                Terms(int(state["features"]), int(state["protocol-features"]), config),
                Inflight(*map(int, state["inflight"])) if state["inflight"] else None,
                [Ring(*map(int, ring)) for ring in state["rings"]],
                [int(base) for base in state["bases"]],
                bool(state["started"]),
            )
        except (LookupError, TypeError, ValueError) as error:
            raise MigrationError(f"bad state of a vhost-user session: {error!r}") from None

    def roles(self) -> set[tuple[str, int]]:
        """Return the descriptors, as (role, index), that belong to this state."""
        vrings = {(role, index) for role in ("kick", "call") for index in range(len(self.rings))}
        return vrings | {("socket", 0)} | ({("inflight", 0)} if self.inflight else set())
