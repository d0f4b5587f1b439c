"""What the objects of a real QEMU are worth: those of an idle machine, and new ones.

QEMU: qom/qom-qmp-cmds.c

A tree is {path: [{"name", "type", "value"?}, …]}, without what is below /machine/peripheral.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.emulator import Emulator, EmulatorGone

Properties = list[dict[str, Any]]
Tree = dict[str, Properties]

_CHILD = "child<"
_TIME = "struct tm"  # of day
_OBJECT = "recorded"  # the ID of a new object
_REQUIRED: dict[str, Any] = {"size": 4096}
# Two machines that differ in what a client may choose: a value that differs is no fact.
DIFFERENT_SIZES = ("128", "256")


def interfaces(emulator: Emulator, types: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Return which types implement each interface: {interface: [type, …]}."""
    parents = {each["name"]: each.get("parent") for each in types}
    found = {}
    for name in parents:
        line: str | None = name
        while line is not None and line != "interface":
            line = parents.get(line)
        if line == "interface":
            listed = emulator.execute("qom-list-types", implements=name, abstract=True)
            found[name] = [each["name"] for each in listed]
    return found


def new_objects(argv: Sequence[str], schema: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the values of each type that object-add makes: {type: {property: value}}.

    A type that needs more than a size has none.
    """
    entities = {entity["name"]: entity for entity in schema}
    union = entities[entities["object-add"]["arg-type"]]
    found = {}
    for variant in union["variants"]:
        members = entities[variant["type"]]["members"]
        known = {member["name"] for member in members}
        given = {name: value for name, value in _REQUIRED.items() if name in known}
        with suppress(QMPError, EmulatorGone), Emulator(argv) as emulator:
            arguments = {"qom-type": variant["case"], "id": _OBJECT, **given}
            emulator.execute_with("object-add", arguments)
            listed = _listed(emulator, f"/objects/{_OBJECT}")
            found[variant["case"]] = _values(listed)
    return found


def machines(argv: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return the values of /machine of each machine type that starts here."""
    found = {}
    for name in names:
        with suppress(EmulatorGone), Emulator([*argv, "-machine", name]) as emulator:
            found[name] = _values(_listed(emulator, "/machine"))
    return found


def tree(argv: Sequence[str]) -> Tree:
    """Return the objects that a machine is made of, with the values that are always the same."""
    first, second = (_walk([*argv, "-m", size]) for size in DIFFERENT_SIZES)
    for path, properties in first.items():
        others = {each["name"]: each.get("value") for each in second.get(path, ())}
        for each in properties:
            if each.get("value") != others.get(each["name"]):
                each.pop("value", None)
    return first


def _walk(argv: Sequence[str]) -> Tree:
    with Emulator(argv) as emulator:
        return walk(emulator, "/machine")


def walk(emulator: Emulator, top: str) -> Tree:
    """Return the object at the path `top`, and those below it that no client has put there."""
    found: Tree = {}
    waiting = [top]
    while waiting:
        path = waiting.pop()
        found[path] = _listed(emulator, path)
        waiting += [
            f"{path}/{each['name']}"
            for each in found[path]
            if each["type"].startswith(_CHILD) and not each["name"].startswith("peripheral")
        ]
    return found


def _listed(emulator: Emulator, path: str) -> Properties:
    listed: Properties = emulator.execute("qom-list", path=path)
    for each in listed:
        if not each["type"].startswith(_CHILD) and each["type"] != _TIME:
            with suppress(QMPError):
                each["value"] = emulator.execute("qom-get", path=path, property=each["name"])
    return listed


def _values(properties: Properties) -> dict[str, Any]:
    return {each["name"]: each["value"] for each in properties if "value" in each}
