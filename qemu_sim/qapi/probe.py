"""Find out what introspection hides: the width of each integer, the names of alternates.

QEMU: scripts/qapi/introspect.py (maps every integer type to "int", and masks names),
qapi/qapi-visit-core.c (the texts that give them away)

query-qmp-schema calls uint8, size and int64 all "int", yet error texts name them. So
each member is given a wrong value and QEMU's complaint is read. Every request also has
a member that no command knows, hence none is ever carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.emulator import Emulator

# No command has a member of this name.
UNKNOWN = "qemu-sim-probe"
# No introspected argument check: answered by the session, or checked by hand.
_SKIPPED = {"qmp_capabilities", "device_add"}
_INTEGERS = ("int", "[int]")
_WIDTHS = ("int8_t", "int16_t", "int32_t", "uint8_t", "uint16_t", "uint32_t")

Wrap = Callable[[Any], dict[str, Any]]


def probe_types(emulator: Emulator, schema: list[dict[str, Any]]) -> dict[str, Any]:
    """Return {"integers": {type: {member: kind}}, "alternates": {type: name}}.

    Kinds are "int64", "uint64", "size", or a C type such as "uint8_t"; int64 is left out.
    """
    return _Probe(emulator, schema).run()


class _Probe:
    def __init__(self, emulator: Emulator, schema: list[dict[str, Any]]) -> None:
        self._emulator = emulator
        self._schema = schema
        self._types = {each["name"]: each for each in schema if each["meta-type"] != "command"}
        self._seen: set[str] = set()
        self._integers: dict[str, dict[str, str]] = {}
        self._alternates: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        for entity in self._schema:
            if entity["meta-type"] == "command" and entity["name"] not in _SKIPPED:
                self._command = entity["name"]
                self._object(entity["arg-type"], lambda value: value, {})
        for command, tag in (("object_add", "object-add"), ("netdev_add", "netdev_add")):
            self._sizes(command, tag)
        return {"integers": self._integers, "alternates": self._alternates}

    def _visit(self, name: str, wrap: Wrap) -> None:
        entity = self._types[name]
        match entity["meta-type"]:
            case "object":
                self._object(name, wrap, {})
            case "array":
                self._visit(entity["element-type"], _as_element(wrap))
            case "alternate" if name not in self._seen:
                self._seen.add(name)
                self._alternate(entity, wrap)

    def _object(self, name: str, wrap: Wrap, before: dict[str, Any]) -> None:
        """Probe a type's members; `before` holds what a union's base needs."""
        if name in self._seen:
            return
        self._seen.add(name)
        entity = self._types[name]
        for member, given in _members(entity, before, self._sample):
            self._member(name, member, _inside(wrap, given, member["name"]))
        for variant in entity.get("variants", []):
            base = before | self._required(entity) | {entity["tag"]: variant["case"]}
            self._object(variant["type"], wrap, base)

    def _member(self, owner: str, member: dict[str, Any], wrap: Wrap) -> None:
        if member["type"] not in _INTEGERS:
            self._visit(member["type"], wrap)
            return
        kind = self._integer(wrap if member["type"] == "int" else _as_element(wrap))
        if kind != "int64":
            self._integers.setdefault(owner, {})[member["name"]] = kind

    def _integer(self, wrap: Wrap) -> str:
        signed = "integer" in self._complaint(wrap("x"))
        largest = 2**63 - 1 if signed else 2**64 - 1
        told = self._complaint(wrap(largest)).rpartition(" expects ")[2]
        if told in _WIDTHS:
            return told
        return "int64" if signed else "uint64"

    def _alternate(self, entity: dict[str, Any], wrap: Wrap) -> None:
        values: tuple[Any, ...] = (False, None, 0, "x", [], {})
        for value in values:
            text = self._complaint(wrap(value))
            name = text.rpartition("expected: ")[2]
            if name != text and name[:1].isupper():
                self._alternates[entity["name"]] = name
                break
        for branch in entity["members"]:
            self._visit(branch["type"], wrap)

    def _complaint(self, arguments: dict[str, Any]) -> str:
        try:
            self._emulator.execute_with(self._command, {**arguments, UNKNOWN: 0})
        except QMPError as error:
            return str(error)
        raise AssertionError(f"{self._command} accepted an unknown member")

    # -- values that pass --

    def _required(self, entity: dict[str, Any]) -> dict[str, Any]:
        return {
            member["name"]: self._sample(member["type"])
            for member in entity["members"]
            if "default" not in member
        }

    def _sample(self, name: str) -> Any:
        entity = self._types[name]
        match entity["meta-type"]:
            case "builtin":
                return _SAMPLES[entity["json-type"]]
            case "enum":
                return entity["values"][0]
            case "array":
                return []
            case "alternate":
                # A reference by name, where there is one: the other branch may hold itself.
                branches = [member["type"] for member in entity["members"]]
                return self._sample("str" if "str" in branches else branches[0])
        sample = self._required(entity)
        if "tag" in entity:
            case = entity["variants"][0]
            sample[entity["tag"]] = case["case"]
            sample |= self._required(self._types[case["type"]])
        return sample

    # -- the command line's eyes: only there sizes differ from other integers --

    def _sizes(self, hmp: str, command: str) -> None:
        schema = {each["name"]: each for each in self._schema}
        union = self._types[schema[command]["arg-type"]]
        for variant in union["variants"]:
            entity = self._types[variant["type"]]
            first = f"{hmp} {variant['case']},id=x"
            for member, given in _members(entity, {}, self._sample):
                owner = self._integers.get(variant["type"], {})
                if owner.get(member["name"]) != "uint64":
                    continue
                options = "".join(f",{name}={value}" for name, value in given.items())
                line = f"{first}{options},{member['name']}=x,{UNKNOWN}=0"
                text = self._emulator.execute_with("human-monitor-command", {"command-line": line})
                if text.rstrip().endswith((" expects a size value", " expects size")):
                    owner[member["name"]] = "size"


_SAMPLES = {"string": "x", "int": 0, "number": 0, "boolean": False, "null": None, "value": 0}


def _inside(wrap: Wrap, given: dict[str, Any], name: str) -> Wrap:
    return lambda value: wrap({**given, name: value})


def _as_element(wrap: Wrap) -> Wrap:
    return lambda value: wrap([value])


def _members(
    entity: dict[str, Any], before: dict[str, Any], sample: Callable[[str], Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each member, with values for the required ones that QEMU looks at before it."""
    given = dict(before)
    for member in entity["members"]:
        yield member, given
        if "default" not in member:
            given = {**given, member["name"]: before.get(member["name"], sample(member["type"]))}
