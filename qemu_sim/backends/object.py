"""A user-creatable object: what -object and object-add make.

QEMU: qom/object_interfaces.c, qapi/qom.json
"""

from __future__ import annotations

from typing import Any, ClassVar


class Object:
    """One object. Subclasses are found by their TYPE (file name = QMP name)."""

    TYPE: ClassVar[str]

    def __init__(self, id: str, options: dict[str, Any]) -> None:
        """Keep `options`, the checked members of the type, without qom-type and id."""
        self.id = id
        self.options = options

    @property
    def in_use(self) -> bool:
        """Whether something still needs it, so that object-del is refused."""
        return False

    def close(self) -> None:
        """Give back what the object holds."""
