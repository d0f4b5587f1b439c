"""The migration parameter block-bitmap-mapping: names of dirty bitmaps on the wire.

QEMU: migration/block-dirty-bitmap.c (construct_alias_map)

A mapping is looked at twice, as QEMU builds one table for each direction: names must be
unique in the first, aliases in the second. Lengths count bytes of UTF-8.
"""

from __future__ import annotations

import re
from typing import Any

from qemu_sim.errors import QMPError

_PREFIX = "Invalid mapping given for block-bitmap-mapping: "
_WELL_FORMED = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")  # util/id.c (id_wellformed)
_ALIAS_MAX = 255  # its length is one byte of the stream
_NODE_MAX = 31
_BITMAP_MAX = 1023

Mapping = list[dict[str, Any]]


def check_mapping(mapping: Mapping) -> None:
    """Raise QMPError in QEMU's words for a mapping [{node-name, alias, bitmaps}] that fails."""
    _check(mapping, "node-name", "name", "The node name '{}' is mapped twice", "mapped twice")
    _check(mapping, "alias", "alias", "The node alias '{}' is used twice", "used twice")


def _check(mapping: Mapping, node_key: str, bitmap_key: str, node_twice: str, twice: str) -> None:
    seen = set()
    for node in mapping:
        _check_node(node)
        if node[node_key] in seen:
            raise QMPError(_PREFIX + node_twice.format(node[node_key]))
        seen.add(node[node_key])
        _check_bitmaps(node, node[node_key], bitmap_key, twice)


def _check_node(node: dict[str, Any]) -> None:
    if not _WELL_FORMED.fullmatch(node["alias"]):
        raise QMPError(f"{_PREFIX}The node alias '{node['alias']}' is not well-formed")
    _check_length("node alias", node["alias"], _ALIAS_MAX)
    _check_length("node name", node["node-name"], _NODE_MAX)


def _check_bitmaps(node: dict[str, Any], owner: str, key: str, twice: str) -> None:
    what = "bitmap" if key == "name" else "bitmap alias"
    seen = set()
    for bitmap in node["bitmaps"]:
        _check_length("bitmap alias", bitmap["alias"], _ALIAS_MAX)
        _check_length("bitmap name", bitmap["name"], _BITMAP_MAX)
        if bitmap[key] in seen:
            raise QMPError(f"{_PREFIX}The {what} '{owner}'/'{bitmap[key]}' is {twice}")
        seen.add(bitmap[key])


def _check_length(what: str, text: str, limit: int) -> None:
    if len(text.encode("utf-8", "surrogatepass")) > limit:
        raise QMPError(f"{_PREFIX}The {what} '{text}' is longer than {limit} bytes")
