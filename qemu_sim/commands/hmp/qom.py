"""HMP commands about the object tree.

QEMU: qom/qom-hmp-cmds.c
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qemu_sim.commands.hmp.table import Session, hmp
from qemu_sim.errors import QMPError
from qemu_sim.machine.qom import ObjectTree
from qemu_sim.wire import json_text
from qemu_sim.wire.json_stream import JsonError, JsonStream

if TYPE_CHECKING:
    from qemu_sim.machine.qom_node import Node


@hmp("qom-list")
async def qom_list(session: Session, path: str | None = None) -> str:
    """Print an object's properties with their types."""
    if path is None:
        return "/\n"
    found = await session.execute("qom-list", path=path)
    return "".join(f"{each['name']} ({each['type']})\n" for each in found)


@hmp("qom-get")
async def qom_get(session: Session, path: str, property: str) -> str:
    """Print a property's value as JSON."""
    value = await session.execute("qom-get", path=path, property=property)
    return f"{json_text.text(value, pretty=True)}\n"


@hmp("qom-set")
async def qom_set(
    session: Session, path: str, property: str, value: str, *, json: bool = False
) -> str:
    """Set a property to a text, or to a value in JSON."""
    given = _parsed(value, session.machine.profile.version) if json else value
    await session.execute("qom-set", path=path, property=property, value=given)
    return ""


@hmp("info qom-tree")
def qom_tree(session: Session, path: str = "/machine") -> str:
    """Print an object and all below it, with their types."""
    tree = ObjectTree(session.machine)
    try:
        node = tree.find_unambiguous(path)
    except QMPError as error:
        if "ambiguous" in str(error):
            return f"Warning: Path '{path}' is ambiguous.\n"
        return f"Path '{path}' could not be resolved.\n"
    return "".join(f"{line}\n" for line in _lines(node))


def _lines(node: Node, depth: int = 0) -> Iterator[str]:
    name = node.path.rpartition("/")[2]
    yield f"{'  ' * depth}/{name} ({node.qom_type})"
    for child in sorted(node.children):
        yield from _lines(node.children[child], depth + 1)


def _parsed(text: str, version: tuple[int, int, int]) -> Any:
    items = JsonStream(version).receive(f"{text}\n".encode())
    if not items:
        raise QMPError(f"1:{len(text) + 1}: JSON parse error, premature end of input")
    if isinstance(items[0], JsonError):
        raise QMPError(items[0].text)
    if len(items) > 1:
        raise QMPError("Expecting at most one JSON value")
    return items[0]
