"""One object in the tree that clients walk.

QEMU: qom/object.c
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Node:
    """One object: its type, what is below it, what it points to, and the values known.

    `links` maps property names to canonical paths. `device_name` is set for what has been
    realized, as an error calls it. `kinds` are the types of its properties in their order,
    where these are not just what its type has.
    """

    path: str
    qom_type: str
    children: dict[str, Node] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    device_name: str | None = None
    kinds: dict[str, str] | None = None

    def add(self, name: str, qom_type: str, values: dict[str, Any] | None = None) -> Node:
        """Return a new child."""
        child = Node(f"{self.path.rstrip('/')}/{name}", qom_type, values=values or {})
        self.children[name] = child
        return child
