"""One object in the tree that clients walk.

QEMU: qom/object.c
"""

from __future__ import annotations

from collections.abc import Iterator
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


def resolve(root: Node, path: str) -> list[Node]:
    """Return the objects at an absolute path, one at most, or at a partial one from anywhere."""
    parts = [part for part in path.split("/") if part]
    if path.startswith("/"):
        found = _follow(root, root, parts)
        return [] if found is None else [found]
    return list(_partial(root, root, parts))


def _partial(root: Node, node: Node, parts: list[str]) -> Iterator[Node]:
    """Every object that `parts` lead to from some object."""
    found = _follow(root, node, parts)
    if found is not None:
        yield found
    for child in node.children.values():
        yield from _partial(root, child, parts)


def _follow(root: Node, node: Node | None, parts: list[str]) -> Node | None:
    for part in parts:
        if node is None:
            break
        link = node.links.get(part)
        node = node.children.get(part) if link is None else next(iter(resolve(root, link)), None)
    return node
