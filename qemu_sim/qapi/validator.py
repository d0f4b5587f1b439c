"""Checks of values against a schema, compiled from introspection on first use.

QEMU: qapi/qobject-input-visitor.c, scripts/qapi/visit.py (generated visit_type_*)

Members are looked at in the schema's order and the first complaint wins, so a missing
member is reported before an unexpected one. Each type becomes one closure, compiled
when a command first needs it and shared from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from qemu_sim.errors import QMPError
from qemu_sim.key_order import in_key_order
from qemu_sim.qapi.glib_order import first_left
from qemu_sim.qapi.json_values import Check
from qemu_sim.qapi.path import Path, bare_name
from qemu_sim.qapi.unknown_value import not_in_enum

Entity = dict[str, Any]
Visit = Callable[[dict[str, Any], Path, dict[str, Any]], None]  # value, path, known
Members = list[tuple[str, bool, Check]]  # name, required, check


class Values(Protocol):
    """How scalars are written: json_values, or keyval_values."""

    def scalar(self, kind: str) -> Check:
        """Check for a built-in type."""

    def spell(self, path: Path) -> str:
        """Write a path the way of these values."""

    def wrong_type(self, path: Path, expected: str) -> QMPError:
        """Error for an object, array or string that is none."""


class Validator:
    """Compiles checks for the types of one schema.

    `entities` maps names to SchemaInfo; `facts` is what introspection hides (see probe.py).
    A member or value with one of the `rejected` features is an error.
    """

    def __init__(
        self,
        entities: Mapping[str, Entity],
        facts: Mapping[str, Any],
        values: Values,
        rejected: Collection[str] = (),
    ) -> None:
        self._entities = entities
        self._rejected = rejected
        self._integers: Mapping[str, Mapping[str, str]] = facts.get("integers", {})
        self._alternates: Mapping[str, str] = facts.get("alternates", {})
        self._values = values
        self._checks: dict[tuple[str, str], Check] = {}

    def check(self, type_name: str, value: Any, path: Path = None) -> Any:
        """Check a value; returns it as QEMU would understand it. Raises QMPError."""
        return self.compiled(type_name)(value, path)

    def compiled(self, type_name: str, integer: str = "int64") -> Check:
        """Check for a type; `integer` is what its introspected "int" really is."""
        key = type_name, integer
        if key not in self._checks:
            # Types may hold themselves: until the real check is there, it is looked up late.
            self._checks[key] = self._later(key)
            self._checks[key] = self._compile(self._entities[type_name], integer)
        return self._checks[key]

    def _later(self, key: tuple[str, str]) -> Check:
        def check(value: Any, path: Path) -> Any:
            return self._checks[key](value, path)

        return check

    def _compile(self, entity: Entity, integer: str) -> Check:
        match entity["meta-type"]:
            case "builtin":
                return self._values.scalar(integer if entity["name"] == "int" else entity["name"])
            case "enum":
                return self._enum(entity)
            case "array":
                return self._array(self.compiled(entity["element-type"], integer))
            case "alternate":
                return self._alternate(entity)
        return self._object(entity)

    def _members(self, entity: Entity) -> Members:
        kinds = self._integers.get(entity["name"], {})
        return [
            (
                member["name"],
                "default" not in member,
                self._allowed(
                    member, self.compiled(member["type"], kinds.get(member["name"], "int64"))
                ),
            )
            for member in entity["members"]
        ]

    def _allowed(self, member: Entity, check: Check) -> Check:
        """Return `check`, or one that rejects the member altogether."""
        feature = rejected_feature(member, self._rejected)
        if feature is None:
            return check

        def refuse(_value: Any, path: Path) -> Any:
            name = bare_name(path)
            raise QMPError(f"{feature.capitalize()} parameter {name} disabled by policy")

        return refuse

    def _enum(self, entity: Entity) -> Check:
        allowed = frozenset(entity["values"])
        string = self._values.scalar("str")
        refused = {
            each["name"]: feature
            for each in entity.get("members", ())
            if (feature := rejected_feature(each, self._rejected)) is not None
        }

        def check(value: Any, path: Path) -> str:
            name: str = string(value, path)
            if name not in allowed:
                raise not_in_enum(bare_name(path), name, entity)
            if name in refused:
                raise QMPError(f"{refused[name].capitalize()} value {name} disabled by policy")
            return name

        return check

    def _array(self, element: Check) -> Check:
        def check(value: Any, path: Path) -> list[Any]:
            if type(value) is not list:
                raise self._values.wrong_type(path, "array")
            return [element(each, (path, index)) for index, each in enumerate(value)]

        return check

    def _alternate(self, entity: Entity) -> Check:
        name = self._alternates.get(entity["name"], entity["name"])
        branches = {}
        for member in entity["members"]:
            check = self.compiled(member["type"])
            for kind in _python_types(self._entities[member["type"]]):
                branches[kind] = check

        def choose(value: Any, path: Path) -> Any:
            branch = branches.get(type(value))
            if branch is None:
                text = f"Invalid parameter type for '{bare_name(path)}', expected: {name}"
                raise QMPError(text)
            return branch(value, path)

        return choose

    def _object(self, entity: Entity) -> Check:
        visit = self._visit(entity)

        def check(value: Any, path: Path) -> dict[str, Any]:
            if type(value) is not dict:
                raise self._values.wrong_type(path, "object")
            known: dict[str, Any] = {}
            visit(value, path, known)
            if len(known) != len(value):
                name = first_left(in_key_order(value), known)
                raise QMPError(f"Parameter '{self._values.spell((path, name))}' is unexpected")
            return known

        return check

    def _visit(self, entity: Entity) -> Visit:
        """Collect an object's members, a union's branch included, into `known`."""
        members = self._members(entity)

        def visit(value: dict[str, Any], path: Path, known: dict[str, Any]) -> None:
            for name, required, check in members:
                if name in value:
                    known[name] = check(value[name], (path, name))
                elif required:
                    raise QMPError(f"Parameter '{self._values.spell((path, name))}' is missing")

        return self._visit_union(entity, visit) if "tag" in entity else visit

    def _visit_union(self, entity: Entity, visit_base: Visit) -> Visit:
        tag = entity["tag"]
        types = {variant["case"]: variant["type"] for variant in entity["variants"]}
        # Compiled when a value first takes the branch: block drivers have fifty.
        branches: dict[str, Visit] = {}

        def visit(value: dict[str, Any], path: Path, known: dict[str, Any]) -> None:
            visit_base(value, path, known)
            case = known[tag]
            if case not in types:
                return
            if case not in branches:
                branches[case] = self._visit(self._entities[types[case]])
            branches[case](value, path, known)

        return visit


def rejected_feature(entity: Entity, rejected: Collection[str]) -> str | None:
    """Return the first of the `rejected` features that a member, value or command has."""
    return next((each for each in entity.get("features", ()) if each in rejected), None)


def _python_types(entity: Entity) -> tuple[type, ...]:
    """Python types of the JSON values that select an alternate's branch."""
    match entity["meta-type"]:
        case "builtin":
            return _JSON_TYPES[entity["json-type"]]
        case "enum":
            return (str,)
        case "array":
            return (list,)
    return (dict,)


_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
