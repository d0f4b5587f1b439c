"""An answer cut to what a recorded QEMU would say: an older one knows fewer members.

QEMU: scripts/qapi/visit.py (generated output visitors)

Members come in the schema's order, which decides how those of one hash bucket are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Entity = dict[str, Any]
_UNKNOWN = object()


def answer(entities: Mapping[str, Entity], command: str, value: Any) -> Any:
    """Return what `command` answers where `value` is all that there is to say."""
    return _cut(entities, entities[command]["ret-type"], value)


def _cut(entities: Mapping[str, Entity], type_name: str, value: Any) -> Any:
    entity = entities[type_name]
    match entity["meta-type"]:
        case "array":
            return [_cut(entities, entity["element-type"], each) for each in value]
        case "object":
            return _object(entities, entity, value)
        case "enum":
            return value if value in entity["values"] else _UNKNOWN
    return value


def _object(entities: Mapping[str, Entity], entity: Entity, value: dict[str, Any]) -> Any:
    found = {}
    for name, type_name in _members(entities, entity, value):
        if name in value:
            found[name] = _cut(entities, type_name, value[name])
    if "tag" in entity and found[entity["tag"]] is _UNKNOWN:
        return _UNKNOWN
    return {name: each for name, each in found.items() if each is not _UNKNOWN}


def _members(
    entities: Mapping[str, Entity], entity: Entity, value: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """Names and types of an object's members, those of its union branch included."""
    for member in entity["members"]:
        yield member["name"], member["type"]
    for variant in entity.get("variants", ()):
        if value.get(entity["tag"]) == variant["case"]:
            yield from _members(entities, entities[variant["type"]], value)
