"""One recorded QEMU: its version, its schema, and what it knows about its types.

A profile is read-only, loaded piece by piece when a piece is first asked for, and
shared by all machines of a process. The version comes from the file's first line.
"""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.archive import Archive
from qemu_sim.qapi.pool import Entry, Pool
from qemu_sim.qapi.schema import Schema

DEFAULT = "11.1"

_SUFFIX = "-x86_64.profile"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def schemas_directory() -> str:
    """Directory of the shipped profiles: inside the package, or beside it in a checkout."""
    installed = os.path.join(_PACKAGE, "schemas")
    return installed if os.path.isdir(installed) else os.path.join(_PACKAGE, "..", "schemas")


def shipped() -> list[str]:
    """Names of the profiles that come with the program, newest first."""
    names = [
        name.removeprefix("qemu-").removesuffix(_SUFFIX)
        for name in os.listdir(schemas_directory())
        if name.startswith("qemu-") and name.endswith(_SUFFIX)
    ]
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")], reverse=True)


def load(name_or_path: str = DEFAULT) -> Profile:
    """Return a shipped profile ("7.2") or one of a file's path. Raises QMPError."""
    path = name_or_path
    if "/" not in path:
        path = os.path.join(schemas_directory(), f"qemu-{name_or_path}{_SUFFIX}")
    return _load(os.path.abspath(path))


@lru_cache(maxsize=None)
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

    @property
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
        return Schema(self.answer("query-qmp-schema"), self.answer("member-types"))

    def has_answer(self, command: str) -> bool:
        """Whether a command's answer was recorded."""
        return command in self._archive

    def answer(self, command: str) -> Any:
        """Recorded answer of a command without arguments, parsed anew. KeyError if none."""
        return self._archive.read(command)

    @cached_property
    def machines(self) -> dict[str, Entry]:
        """MachineInfo by name and by alias."""
        listed: list[Entry] = self.answer("query-machines")
        aliases = {each["alias"]: each for each in listed if "alias" in each}
        return aliases | {each["name"]: each for each in listed}

    @cached_property
    def types(self) -> dict[str, Entry]:
        """ObjectTypeInfo (name, parent, maybe abstract) of every QOM type, by name."""
        return {each["name"]: each for each in self.answer("qom-list-types")}

    @cached_property
    def device_properties(self) -> Pool:
        """What device-list-properties answers for each type."""
        return Pool(self.answer("device-list-properties"))

    @cached_property
    def qom_properties(self) -> Pool:
        """What qom-list-properties answers for each type."""
        return Pool(self.answer("qom-list-properties"))

    @cached_property
    def cpu_expansions(self) -> dict[str, dict[str, Any]]:
        """Recorded query-cpu-model-expansion: {model: {"static" | "full": answer}}."""
        expansions: dict[str, dict[str, Any]] = self.answer("query-cpu-model-expansion")
        return expansions

    @cached_property
    def compat_properties(self) -> dict[str, list[Entry]]:
        """What each machine type changes ({qom-type, property, value}); empty before QEMU 9.1."""
        if "compat-props" not in self._archive:
            return {}
        found: dict[str, list[Entry]] = self.answer("compat-props")
        return found
