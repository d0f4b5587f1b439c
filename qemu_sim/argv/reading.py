"""One reading of a command line: what was understood so far, and the two value syntaxes.

QEMU: system/vl.c (qemu_init)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from qemu_sim.argv.report import Report
from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import Configuration, Given, StartError
from qemu_sim.qapi.keyval import parse_keyval
from qemu_sim.qapi.opts import Group, Opts

Reader = Callable[["Reading", str, str], None]
_HELP = ("help", "?")
_NEWER = (8, 0, 0)  # than 7.2, which gives no hints about what stands in a file


class Asked(Exception):
    """The command line asks for a text instead of a start: `topic` says which.

    `profile` is the one of -sim, where that stood before.
    """

    profile: str | None = None

    def __init__(self, topic: str) -> None:
        super().__init__(topic)
        self.topic = topic


class Reading:
    """The state between two options. `given_defaults` are the default devices replaced.

    While a configuration file is read, `opts_source` is what errors in QemuOpts are said of.
    """

    __slots__ = (
        "compat_monitors",
        "configuration",
        "given_defaults",
        "guest_name_in_messages",
        "ids",
        "named_ports",
        "opts_source",
        "plugged_nics",
        "report",
        "unnamed_nics",
    )

    def __init__(self, report: Report) -> None:
        self.report = report
        self.configuration = Configuration()
        self.given_defaults: set[str] = set()
        self.named_ports: list[tuple[str, str]] = []  # chardevs, and what is said without them
        self.compat_monitors = 0  # how many have a number in their label
        self.unnamed_nics = self.plugged_nics = 0  # of -nic; of that and -net
        self.guest_name_in_messages = False
        self.ids: dict[str, set[str]] = {}
        self.opts_source: str | None = None

    @property
    def profile(self) -> str | None:
        """The profile that -sim names, the last one if it does so often."""
        named = self.configuration.sim.get("profile")
        return named[-1] if isinstance(named, list) else named

    @property
    def version(self) -> tuple[int, int, int]:
        """The version of the QEMU that is simulated. Raises StartError."""
        from qemu_sim.qapi import profile as profiles  # noqa: PLC0415 - few options need it

        try:
            return profiles.load(self.profile).version
        except QMPError as error:
            raise StartError(f"-sim: {error}") from None

    def opts(self, group: Group, source: str, text: str) -> Opts:
        """Read a QemuOpts text; its ID is unique in its group. Raises QMPError."""
        if text in _HELP and group.implied is not None:
            raise Asked(group.name)
        try:
            found = group.parse(text, lambda warning: self.report.warn(source, warning))
            if found.id is not None:
                self.claim_id(group.name, found.id)
        except QMPError as error:
            if self.opts_source is None:
                raise
            words, _, hint = str(error).partition("\n")
            hinted = bool(hint) and self.version >= _NEWER
            raise self.opts_error(f"{words}\n{hint}" if hinted else words) from None
        return found

    def opts_error(self, text: str) -> StartError:
        """Return the error about a group of a configuration file."""
        return StartError(f"{self.opts_source}: {text}" if self.opts_source else text)

    def claim_id(self, group: str, id: str) -> None:
        """Raise QMPError in QEMU's words if `id` names another `group` already."""
        known = self.ids.setdefault(group, set())
        if id in known:
            raise QMPError(f"Duplicate ID '{id}' for {group}")
        known.add(id)

    def keyval(self, topic: str, text: str, implied: str) -> dict[str, Any]:
        """Read a keyval text, or raise Asked for its help. Raises QMPError."""
        if text in _HELP:
            raise Asked(topic)
        return parse_keyval(text, implied)


def blame(source: str) -> AbstractContextManager[None]:
    """Turn a QMPError inside into a StartError that names the option."""
    return Given(source, {}).blame()


def read_json(text: str) -> dict[str, Any]:
    """Read a JSON object from an option. Raises QMPError in QEMU's words."""
    from qemu_sim.wire.json_stream import (  # noqa: PLC0415 - only JSON needs the lexer's tables
        JsonError,
        JsonStream,
    )

    items = JsonStream((11,)).receive(f"{text}\n".encode("utf-8", "surrogateescape"))
    if not items:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
        raise QMPError(f"{line}:{column}: JSON parse error, premature end of input")
    value = items[0]
    if isinstance(value, JsonError):
        raise QMPError(value.text)
    if len(items) > 1:
        raise QMPError("Expecting at most one JSON value")
    assert isinstance(value, dict)  # the callers look for the opening brace
    return value


def not_simulated(source: str) -> StartError:
    """Return the error of an option whose effect does not exist here."""
    return StartError(f"{source}: not simulated by qemu-sim")
