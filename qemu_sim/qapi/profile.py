"""One recorded QEMU: its version, its schema, and what it knows about its types.

A profile is read-only, loaded piece by piece when a piece is first asked for, and
shared by all machines of a process. The version comes from the file's first line.
"""

from __future__ import annotations

import os
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.archive import Archive
from qemu_sim.qapi.pool import Entry, Pool
from qemu_sim.qapi.shipped import DIRECTORY

if TYPE_CHECKING:
    from qemu_sim.qapi.schema import Schema

DEFAULT = "11.1"

_SUFFIX = "-x86_64.profile"
# When "unsupported machine type" began to name it; 7.2 does not, 11.1 does.
_NAMES_MACHINE = (9, 0, 0)


def shipped() -> list[str]:
    """Names of the profiles that come with the program, newest first."""
    names = [
        name.removeprefix("qemu-").removesuffix(_SUFFIX)
        for name in os.listdir(DIRECTORY)
        if name.startswith("qemu-") and name.endswith(_SUFFIX)
    ]
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")], reverse=True)


def load(name_or_path: str | None = None) -> Profile:
    """Return a shipped profile ("7.2"; the newest if None) or a file's. Raises QMPError."""
    path = name_or_path or DEFAULT
    if "/" not in path:
        name, path = path, os.path.join(DIRECTORY, f"qemu-{path}{_SUFFIX}")
        if not os.path.exists(path):
            known = ", ".join(shipped())
            raise QMPError(
                f"Could not load profile '{name}': there are {known}; a file's name has a '/'"
            )
    return _load(os.path.abspath(path))


@cache
def _load(path: str) -> Profile:
    try:
        return Profile(Archive(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise QMPError(f"Could not load profile '{path}': {reason}") from error


class Profile:
    """What one QEMU program says about itself."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._extended: dict[str, Schema] = {}

    @cached_property
    def version(self) -> tuple[int, int, int]:
        """Major, minor, micro."""
        recorded = self._archive.head["version"]
        return recorded["major"], recorded["minor"], recorded["micro"]

    @property
    def package(self) -> str:
        """Distributor's version text, as in the greeting."""
        package: str = self._archive.head["package"]
        return package

    @property
    def arch(self) -> str:
        """Target architecture such as "x86_64"."""
        arch: str = self._archive.head["arch"]
        return arch

    @cached_property
    def schema(self) -> Schema:
        """The QMP interface exactly as recorded, without extension."""
        from qemu_sim.qapi.schema import Schema  # noqa: PLC0415 - the greeting needs none

        return Schema(self.section("query-qmp-schema"), self.section("member-types"))

    def extended_schema(self, dialect: str) -> Schema:
        """Return the recorded interface and our extension of it, made once a dialect."""
        if dialect not in self._extended:
            from qemu_sim.qapi import extension  # noqa: PLC0415 - the greeting needs none

            self._extended[dialect] = extension.merged(self.schema, dialect)
        return self._extended[dialect]

    @cached_property
    def preconfig_commands(self) -> frozenset[str]:
        """The commands that run before the machine is initialized (--preconfig)."""
        return frozenset(self.section("allow-preconfig"))

    @cached_property
    def hmp_help(self) -> dict[str, str]:
        """What the human monitor prints for "help" and for "info"."""
        texts: dict[str, str] = self.section("hmp-help")
        return texts

    @cached_property
    def idle_answers(self) -> dict[str, dict[str, Entry]]:
        """What commands without arguments answer on an idle machine.

        {family: {command: {"return": value} or {"error": [class, text]}}}; the families
        are "none", "pc", "q35" and "microvm".
        """
        answers: dict[str, dict[str, Entry]] = self.section("idle-answers")
        return answers

    @cached_property
    def interfaces(self) -> dict[str, list[str]]:
        """Names of the types that implement each interface."""
        return self._newer_section("interfaces")

    @cached_property
    def machine_values(self) -> dict[str, dict[str, Any]]:
        """Values of the properties of /machine, by machine type."""
        return self._newer_section("machine-values")

    @cached_property
    def object_values(self) -> dict[str, dict[str, Any]]:
        """Values of the properties of a new user-creatable object, by its type."""
        return self._newer_section("object-values")

    @cached_property
    def idle_trees(self) -> dict[str, Pool]:
        """The objects of an idle machine by path, each family's; see qapi/objects.py."""
        trees = self._newer_section("idle-trees")
        return {family: Pool(tree) for family, tree in trees.items()}

    @cached_property
    def plugged(self) -> dict[str, dict[str, Entry]]:
        """What one device of each type is: {place: {type: facts}}; see plugged.py."""
        return self._newer_section("plugged")

    @cached_property
    def idle_qtree(self) -> dict[str, list[str]]:
        """The lines of "info qtree" of an idle machine of each family."""
        return self._newer_section("idle-qtree")

    @cached_property
    def plugged_trees(self) -> Pool | None:
        """The objects of each such device, by "PLACE TYPE" and what follows in the path."""
        section = self._newer_section("plugged-trees")
        return Pool(section) if section else None

    @cached_property
    def idle_hmp(self) -> dict[str, dict[str, str]]:
        """What "info TOPIC" prints on an idle machine: {family: {topic: text}}."""
        return self._newer_section("idle-hmp")

    def _newer_section(self, name: str) -> dict[str, Any]:
        """Return a section that older records, and imported ones, do not have."""
        found: dict[str, Any] = self.section(name) if name in self._archive else {}
        return found

    def sections(self) -> list[str]:
        """Names of all that was recorded."""
        return self._archive.names()

    def section(self, command: str) -> Any:
        """Recorded answer of a command without arguments, parsed anew. KeyError if none."""
        return self._archive.read(command)

    @cached_property
    def migration_statuses(self) -> frozenset[str]:
        """Every status that the MIGRATION event can carry."""
        entities = self.schema.by_name
        event = entities[entities["MIGRATION"]["arg-type"]]
        status = next(member for member in event["members"] if member["name"] == "status")
        return frozenset(entities[status["type"]]["values"])

    def resolve_machine(self, name: str) -> str:
        """The machine type that a name or an alias such as "q35" stands for.

        Raises QMPError in QEMU's words.
        """
        if name not in self.machines:
            named = f': "{name}"' if self.version >= _NAMES_MACHINE else ""
            hint = "Use -machine help to list supported machines"
            raise QMPError(f"unsupported machine type{named}\n{hint}")
        resolved: str = self.machines[name]["name"]
        return resolved

    @cached_property
    def newest_machines(self) -> frozenset[str]:
        """The machine types that aliases stand for."""
        return frozenset(each["name"] for each in self.machines.values() if "alias" in each)

    @cached_property
    def machines(self) -> dict[str, Entry]:
        """MachineInfo by name and by alias."""
        listed: list[Entry] = self.section("query-machines")
        aliases = {each["alias"]: each for each in listed if "alias" in each}
        return aliases | {each["name"]: each for each in listed}

    @cached_property
    def types(self) -> dict[str, Entry]:
        """ObjectTypeInfo (name, parent, maybe abstract) of every QOM type, by name."""
        return {each["name"]: each for each in self.section("qom-list-types")}

    def has_accelerator(self, name: str) -> bool:
        """Whether -accel knows `name`."""
        # Most ask for one that works, and the list of all types takes long to load.
        working = self._newer_section("query-accelerators").get("present", ())
        return name in working or f"{name}-accel" in self.types

    def lineage(self, name: str | None) -> list[str]:
        """Return a type's name, its parent's and so on; empty for an unknown type."""
        line = []
        while name in self.types:
            line.append(name)
            name = self.types[name].get("parent")
        return line

    @cached_property
    def device_properties(self) -> Pool:
        """What device-list-properties answers for each type."""
        return Pool(self.section("device-list-properties"))

    @cached_property
    def qom_properties(self) -> Pool:
        """What qom-list-properties answers for each type."""
        return Pool(self.section("qom-list-properties"))

    @cached_property
    def cpu_expansions(self) -> dict[str, dict[str, Any]]:
        """Recorded query-cpu-model-expansion: {model: {"static" | "full": answer}}."""
        expansions: dict[str, dict[str, Any]] = self.section("query-cpu-model-expansion")
        return expansions

    @cached_property
    def compat_properties(self) -> dict[str, list[Entry]]:
        """What each machine type changes ({qom-type, property, value}); empty before QEMU 9.1."""
        return self._newer_section("compat-props")
