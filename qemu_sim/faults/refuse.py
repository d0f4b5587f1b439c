"""One side gives up at a point of the migration, with words."""

from __future__ import annotations

from qemu_sim.errors import MigrationError


class Refuse:
    """An error, as if a check had failed."""

    TYPE = "refuse"
    NOT_AT = ("cancelling", "failing")  # it has failed already

    async def strike(self) -> None:
        """Fail the migration here."""
        raise MigrationError("refused by an injected fault")
