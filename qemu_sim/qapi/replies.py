"""libvirt's record of one QEMU: QMP commands and their replies, as a profile.

The file is pretty-printed JSON, a blank line between two values: each command with
`execute`, then its reply with `return` or `error`.

libvirt asks less than `record` does. What is not in the file is taken from another profile,
the nearest by version, and `completed` says what that was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from qemu_sim.qapi.pool import Pool, pooled
from qemu_sim.qapi.profile import Profile
from qemu_sim.qapi.validator import Entity

_TYPES = "qom-list-types"
_MODELS = "query-cpu-model-expansion"
# What each of these answers is kept under its argument `typename`.
_OF_A_TYPE = ("device-list-properties", "qom-list-properties")
_FACTS = "member-types"
_NEEDED = ("query-version", "query-qmp-schema", "query-machines", _TYPES)
_NO_SECTION = ("query-version", "qmp_capabilities")


def read_replies(text: str) -> dict[str, Any]:
    """Return {command: answer}; by type or model name where a command is asked for each.

    Raises ValueError where `text` is no such file, or lacks what a profile must have.
    """
    answers: dict[str, Any] = {name: {} for name in (*_OF_A_TYPE, _MODELS)}
    for request, reply in _talk(text):
        if "return" not in reply:
            continue  # this QEMU does not have the command, or the type
        name, arguments = request["execute"], request.get("arguments", {})
        if name in _OF_A_TYPE:
            answers[name][arguments["typename"]] = reply["return"]
        elif name == _MODELS:
            kinds = answers[name].setdefault(arguments["model"]["name"], {})
            kinds.setdefault(arguments["type"], reply["return"])
        else:
            answers.setdefault(name, reply["return"])
    for name in _NEEDED:
        if name not in answers:
            raise ValueError(f"there is no reply to {name}")
    return answers


def completed(answers: dict[str, Any], nearest: Profile) -> tuple[dict[str, Any], list[str]]:
    """Return a profile as `record` does, and the sections that are another's."""
    version = answers["query-version"]
    head = {
        "version": version["qemu"],
        "package": version["package"],
        "capabilities": ["oob"],
        "arch": answers["query-target"]["arch"],
    }
    schema = answers["query-qmp-schema"]
    sections = {
        **{name: answer for name, answer in answers.items() if name not in _NO_SECTION},
        **{f"query-{kind}s": _names(schema, kind) for kind in ("command", "event")},
    }
    borrowed = [name for name in nearest.sections() if name not in sections]
    sections |= {name: nearest.section(name) for name in borrowed}
    sections[_FACTS] = _renamed(nearest.section(_FACTS), nearest.schema.entities, schema)
    sections[_TYPES] = _with_abstract(answers[_TYPES], nearest)
    for name in _OF_A_TYPE:
        sections[name] = _with_unasked(answers[name], Pool(nearest.section(name)))
    return {"head": head, "sections": sections}, borrowed


def nearest_of(version: dict[str, int], profiles: list[Profile]) -> Profile:
    """Return the oldest profile that is as new as `version`, else the newest there is."""
    wanted = version["major"], version["minor"], version["micro"]
    newer = [each for each in profiles if each.version >= wanted]
    if newer:
        return min(newer, key=lambda each: each.version)
    return max(profiles, key=lambda each: each.version)


def _talk(text: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    request: dict[str, Any] = {}
    for block in filter(str.strip, text.split("\n\n")):
        value: dict[str, Any] = dict(json.loads(block))
        if "execute" in value:
            request = value
        elif request:
            yield request, value


def _names(schema: list[dict[str, Any]], kind: str) -> list[dict[str, str]]:
    return [{"name": each["name"]} for each in schema if each["meta-type"] == kind]


def _renamed(facts: dict[str, Any], known: list[Entity], new: list[Entity]) -> dict[str, Any]:
    """Return facts about the types of one schema under the names that another has for them."""
    names = _same_types(
        {each["name"]: each for each in known}, {each["name"]: each for each in new}
    )
    return {
        kind: {names[name]: fact for name, fact in of_types.items() if name in names}
        for kind, of_types in facts.items()
    }


def _same_types(known: dict[str, Entity], new: dict[str, Entity]) -> dict[str, str]:
    """Map names of types: they are the same where commands of one name lead to them.

    Types are numbered, and a number means something else in each QEMU.
    """
    names: dict[str, str] = {}
    waiting = [(name, name) for name in known if name in new and "arg-type" in known[name]]
    while waiting:
        old_name, new_name = waiting.pop()
        if old_name not in names:
            names[old_name] = new_name
            theirs = dict(_references(new[new_name]))
            mentioned = _references(known[old_name])
            waiting.extend((name, theirs[role]) for role, name in mentioned if role in theirs)
    return names


def _references(entity: Entity) -> Iterator[tuple[str, str]]:
    """Yield what a type mentions another for, and that one's name."""
    for key in ("arg-type", "ret-type", "element-type"):
        if key in entity:
            yield key, entity[key]
    for key, called in (("members", "name"), ("variants", "case")):
        for at, member in enumerate(entity.get(key, ())):
            if "type" in member:  # an alternate's members have no name, an enum's no type
                yield f"{key}.{member.get(called, at)}", member["type"]


def _with_abstract(listed: list[dict[str, Any]], nearest: Profile) -> list[dict[str, Any]]:
    """Add the abstract types, which libvirt does not list, so that a type knows its line."""
    known = {each["name"] for each in listed}
    abstract = [each for each in nearest.types.values() if each.get("abstract")]
    return listed + [each for each in abstract if each["name"] not in known]


def _with_unasked(answers: dict[str, Any], nearest: Pool) -> dict[str, Any]:
    """Add the types that libvirt has no interest in."""
    return pooled({name: nearest.get(name) or [] for name in nearest} | answers)
