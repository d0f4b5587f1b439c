"""A user-creatable object: what -object and object-add make.

QEMU: qom/object_interfaces.c, qapi/qom.json
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from qemu_sim.errors import DeviceNotFound, QMPError

NEWEST = (11, 1, 0)
_SAYS_WHY = (9, 0, 0)  # newer than 7.2: each type has its own words for being in use


class Place(NamedTuple):
    """Where objects are made: those that are there already, by ID, and the QEMU's version."""

    objects: Mapping[str, Object] = MappingProxyType({})
    version: tuple[int, int, int] = NEWEST

    def linked(self, name: str, kind: str, id: str) -> Object:
        """Return the object that the property `name`, a link to a `kind`, means.

        Raises QMPError in QEMU's words. QEMU: qom/object.c (object_resolve_link)
        """
        found = self.objects.get(id.removeprefix("/objects/"))
        if found is None:
            raise DeviceNotFound(f"Device '{id}' not found")
        if kind not in (found.TYPE, found.KIND):
            raise QMPError(f"Invalid parameter type for '{name}', expected: {kind}")
        return found


class Object:
    """One object. Subclasses are found by their TYPE (file name = QMP name)."""

    TYPE: ClassVar[str]
    KIND: ClassVar[str | None] = None
    """The abstract type that links name, if it is not TYPE."""
    LINKS: ClassVar[Mapping[str, str]] = {}
    """Properties that name another object, and of what type."""

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Keep `options`, the checked members of the type, without qom-type and id.

        Raises QMPError where a link leads nowhere.
        """
        self.id = id
        self.options = options
        self.place = place or Place()
        for name in options.keys() & self.LINKS:
            self.place.linked(name, self.LINKS[name], options[name])

    @property
    def in_use(self) -> bool:
        """Whether something still needs it, so that object-del is refused."""
        return False

    IN_USE: ClassVar[str] = "object '{}' is in use, can not be deleted"
    """What is said of it then, since each type has its own words."""

    def set(self, name: str, value: Any) -> None:
        """Change a property, a scalar of its type or a list. Raises QMPError."""
        del value
        raise QMPError(f"Setting property '{self.TYPE}.{name}' is not simulated by qemu-sim")

    def check_deletable(self) -> None:
        """Raise QMPError in QEMU's words if something still needs it."""
        if self.in_use:
            text = self.IN_USE if self.place.version >= _SAYS_WHY else Object.IN_USE
            raise QMPError(text.format(self.id))

    def close(self) -> None:
        """Give back what the object holds."""
