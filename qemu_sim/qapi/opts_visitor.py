"""Reads the flat options of -object and of most -netdev types by a schema.

QEMU: qapi/opts-visitor.c

Members of nested objects share one level of names, a list is an option that is repeated,
and integers in a list may be ranges ("0-3"). Its complaints have words of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.glib_order import first_left
from qemu_sim.qapi.integers import RANGES, is_signed
from qemu_sim.qapi.keyval_values import in_range, read_integer
from qemu_sim.qapi.opts import parse_bool
from qemu_sim.qapi.sizes import parse_size
from qemu_sim.qapi.unknown_value import not_in_enum

Entity = dict[str, Any]
Options = Mapping[str, str | list[str]]  # a list holds the values of a repeated option

_LONGEST_RANGE = 65536


class OptsVisitor:
    """One reading of `options`: `read` it once. `entities` and `facts` as in Validator."""

    def __init__(
        self, entities: Mapping[str, Entity], facts: Mapping[str, Any], options: Options
    ) -> None:
        self._entities = entities
        self._integers: Mapping[str, Mapping[str, str]] = facts.get("integers", {})
        self._options = {
            name: value if isinstance(value, list) else [value] for name, value in options.items()
        }
        self._known: dict[str, None] = {}  # names in the order of their consumption
        self._element: str | None = None  # the value at hand while a list is read

    def read(self, type_name: str) -> dict[str, Any]:
        """Return the options as an object of the type. Raises QMPError in QEMU's words."""
        result = self._object(self._entities[type_name])
        if len(self._known) != len(self._options):
            # The ID is kept apart from the other options, and comes last.
            names = [name for name in self._options if name != "id"]
            names += ["id"] * ("id" in self._options)
            raise QMPError(f"Invalid parameter '{first_left(names, self._known)}'")
        return result

    def _object(self, entity: Entity) -> dict[str, Any]:
        result: dict[str, Any] = {}
        kinds = self._integers.get(entity["name"], {})
        for member in entity["members"]:
            name = member["name"]
            if "default" not in member or name in self._options:
                kind = kinds.get(name, "int64")
                result[name] = self._value(name, self._entities[member["type"]], kind)
        if "tag" in entity:
            for variant in entity["variants"]:
                if variant["case"] == result[entity["tag"]]:
                    result |= self._object(self._entities[variant["type"]])
        return result

    def _value(self, name: str, entity: Entity, kind: str) -> Any:
        match entity["meta-type"]:
            case "object":
                return self._object(entity)
            case "array":
                return list(self._array(name, self._entities[entity["element-type"]], kind))
        text = self._text(name)
        if entity["meta-type"] == "enum":
            if text not in entity["values"]:
                raise not_in_enum(name, text, entity)
            return text
        return self._scalar(name, entity["name"], kind, text)

    def _array(self, name: str, element: Entity, kind: str) -> Iterator[Any]:
        for text in self._take(name):
            if element["name"] == "int":
                yield from self._integers_in(name, kind, text)
            else:
                self._element = text
                yield self._value(name, element, kind)
                self._element = None

    def _take(self, name: str) -> list[str]:
        if name not in self._options:
            raise QMPError(f"Parameter '{name}' is missing")
        self._known[name] = None
        return self._options[name]

    def _text(self, name: str) -> str:
        # Inside a list there is one value at hand, whatever the member's name.
        return self._take(name)[-1] if self._element is None else self._element

    def _scalar(self, name: str, type_name: str, kind: str, text: str) -> Any:
        match type_name:
            case "bool":
                return parse_bool(name, text)
            case "int" if kind == "size":
                return _size(name, text)
            case "int":
                return self._integer(name, kind, text, "")
            case "number":
                return _number(name, text)
        return text

    def _integer(self, name: str, kind: str, text: str, range_hint: str) -> int:
        number = read_integer(text)
        smallest, largest = RANGES["int64" if is_signed(kind) else "uint64"]
        if number is None or not smallest <= number <= largest:
            article = "an int64" if is_signed(kind) else "a uint64"
            raise QMPError(f"Parameter '{name}' expects {article} value{range_hint}")
        return in_range(number, kind, "null" if range_hint else name)

    def _integers_in(self, name: str, kind: str, text: str) -> Iterator[int]:
        first, dash, last = text.partition("-")
        if not (dash and first):
            yield self._integer(name, kind, text, " or range")
            return
        bounds = [self._integer(name, kind, part, " or range") for part in (first, last)]
        if not 0 <= bounds[1] - bounds[0] < _LONGEST_RANGE:
            raise QMPError(f"Parameter '{name}' expects a uint64 value or range")
        yield from range(bounds[0], bounds[1] + 1)


def _size(name: str, text: str) -> int:
    try:
        return parse_size(name, text)
    except QMPError:  # its text is that of options without a schema
        raise QMPError(f"Parameter '{name}' expects a size value") from None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise QMPError(f"Invalid parameter type for '{name}', expected: number") from None
