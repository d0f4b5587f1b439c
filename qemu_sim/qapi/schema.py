"""One QEMU's QMP interface: what query-qmp-schema returns, indexed and checkable.

QEMU: qapi/introspect.json (SchemaInfo)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from qemu_sim.errors import CommandNotFound, QMPError
from qemu_sim.qapi import json_values, keyval_values
from qemu_sim.qapi.opts_visitor import OptsVisitor
from qemu_sim.qapi.validator import Entity, Validator, rejected_feature

# Introspected with their arguments, yet QEMU checks those by hand: 'gen': false.
UNCHECKED = frozenset({"device_add"})


# QEMU: net/net.c (netdev_is_modern): only these read -netdev by the newer parser.
_KEYVAL_NETDEVS = ("stream", "dgram")


class CommandInfo:
    """One command of the schema."""

    __slots__ = ("allow_oob", "argument_type", "features", "name", "return_type")

    def __init__(self, entity: Entity) -> None:
        self.name: str = entity["name"]
        self.argument_type: str = entity["arg-type"]
        self.return_type: str = entity["ret-type"]
        self.allow_oob: bool = entity.get("allow-oob", False)
        self.features: list[str] = entity.get("features", [])


class Schema:
    """A list of SchemaInfo, in its own order, and the facts that it hides (probe.py).

    The use of what has one of the `rejected` features is an error.
    """

    def __init__(
        self,
        entities: Iterable[Entity],
        facts: Mapping[str, Any],
        rejected: frozenset[str] = frozenset(),
    ) -> None:
        self.entities: list[Entity] = list(entities)
        self._rejected = rejected
        self.facts = facts
        self._commands: dict[str, CommandInfo] = {}
        # Commands that take nothing, the most of traffic: known to accept {} unchecked.
        self._bare: set[str] = set()

    @cached_property
    def by_name(self) -> dict[str, Entity]:
        """Entities by name; commands, events and types share one name space."""
        return {entity["name"]: entity for entity in self.entities}

    @cached_property
    def validator(self) -> Validator:
        """Checks values that are JSON."""
        return Validator(self.by_name, self.facts, json_values, self._rejected)

    @cached_property
    def keyval_validator(self) -> Validator:
        """Checks values that are strings, as parse_keyval returns them."""
        return Validator(self.by_name, self.facts, keyval_values, self._rejected)

    def rejecting(self, features: frozenset[str]) -> Schema:
        """Return the same interface where "deprecated" or "unstable" things are errors."""
        return Schema(self.entities, self.facts, features) if features else self

    def names(self, meta_type: str) -> Iterator[str]:
        """Names of all entities of a meta-type such as "command" or "event"."""
        return (each["name"] for each in self.entities if each["meta-type"] == meta_type)

    def command(self, name: str) -> CommandInfo | None:
        """Look a command up; None where this QEMU has none of that name."""
        found = self._commands.get(name)
        if found is None:
            entity = self.by_name.get(name)
            if entity is not None and entity["meta-type"] == "command":
                found = self._commands[name] = CommandInfo(entity)
        return found

    def check_arguments(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check a command's arguments. Returns them as the command gets them.

        Raises CommandNotFound, or QMPError in QEMU's words.
        """
        if not arguments and name in self._bare:
            return {}
        command = self.command(name)
        if command is None:
            raise CommandNotFound(f"The command {name} has not been found")
        feature = rejected_feature({"features": command.features}, self._rejected)
        if feature is not None:
            raise CommandNotFound(f"{feature.capitalize()} command {name} disabled by policy")
        if name in UNCHECKED:
            return arguments
        try:
            checked: dict[str, Any] = self.validator.check(command.argument_type, arguments)
        except RecursionError:  # hundreds of nodes within nodes; QEMU's own stack is deeper
            raise QMPError("arguments nested this deep are not simulated by qemu-sim") from None
        if not arguments:
            self._bare.add(name)
        return checked

    def check_keyval(self, command: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Check a command's arguments that were written on the command line, as strings.

        `options` is what keyval.py or opts.py made of the text. Raises QMPError in the
        words of the parser that QEMU uses for the command.
        """
        argument_type = self.by_name[command]["arg-type"]
        if _is_flat(command, options):
            return OptsVisitor(self.by_name, self.facts, options).read(argument_type)
        checked: dict[str, Any] = self.keyval_validator.check(argument_type, dict(options))
        return checked


def references(entity: Entity) -> Iterator[str]:
    """Names of the types that an entity mentions."""
    for key in ("arg-type", "ret-type", "element-type"):
        if key in entity:
            yield entity[key]
    for key in ("members", "variants"):
        for member in entity.get(key, ()):
            if "type" in member:  # enums list their values as members, too
                yield member["type"]


def _is_flat(command: str, options: Mapping[str, Any]) -> bool:
    """Whether QEMU reads the option that stands for `command` as flat QemuOpts."""
    if command == "netdev_add":
        return options.get("type") not in _KEYVAL_NETDEVS
    return command in ("object-add", "set-numa-node")
