"""Defaults that -global gives to the properties of a device type, and of what derives from it.

QEMU: hw/core/qdev-properties.c (qdev_prop_set_globals, qdev_prop_check_globals)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.machine import pluggable
from qemu_sim.machine.options import Global
from qemu_sim.qapi.device_properties import parse_device_properties

if TYPE_CHECKING:
    from qemu_sim.qapi.profile import Profile


class GlobalProperties:
    """All of one machine, in the order of the command line."""

    def __init__(self, profile: Profile, given: Sequence[Global], dialect: str | None) -> None:
        self._profile = profile
        self._dialect = dialect
        self._given = given

    def of(self, device_type: str) -> dict[str, Any]:
        """Return the defaults of a type, checked and typed. Raises QMPError in QEMU's words."""
        line = self._profile.lineage(device_type) if self._given else ()
        values: dict[str, Any] = {}
        for owner, name, text in self._given:
            if owner in line:
                try:
                    values |= parse_device_properties(
                        self._profile, device_type, {name: text}, dialect=self._dialect
                    )
                except QMPError as error:
                    raise QMPError(f"can't apply global {owner}.{name}={text}: {error}") from None
        return values

    def unused(self, made: Callable[[], Collection[str]]) -> Iterator[str]:
        """Yield a warning for each that has no effect, and will have none.

        `made()` are the types of what this machine has. What may still be plugged is not
        unused.
        """
        for owner, name, text in self._given:
            if "device" not in self._profile.lineage(owner):
                yield f"global {owner}.{name} has invalid class name"
            elif pluggable.stays(self._profile, owner) and not self._is_made(owner, made()):
                yield f"global {owner}.{name}={text} not used"

    def _is_made(self, owner: str, made: Collection[str]) -> bool:
        return any(owner in self._profile.lineage(each) for each in made)
