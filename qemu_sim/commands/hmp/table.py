"""HMP commands by name, and how their arguments are read.

QEMU: monitor/hmp.c (monitor_parse_arguments, handle_hmp_command), hmp-commands.hx

    @hmp("set_link", "name:s,up:b")
    def set_link(session: Session, name: str, up: bool) -> str: ...

The arguments' kinds are QEMU's: `s` a word, `S` the rest of the line, `b` on or off, `i` a
number; with `?` at the end it may be missing. "info status" is a command of its own.
What the recorded QEMU has besides is known, and not simulated, but for what "info" prints of
an idle machine, which was recorded.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.commands import registry
from qemu_sim.errors import QMPError
from qemu_sim.qapi import idle

if TYPE_CHECKING:
    from qemu_sim.commands.registry import Monitor
    from qemu_sim.machine.machine import Machine

Run = Callable[..., Any]

_MODULES = ("control", "info", "parts")
_WORD = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\S+)')
_ENTRY = re.compile(r"^(?=\S)", re.MULTILINE)
_SWITCH = {"on": True, "off": False}


class Session(NamedTuple):
    """Who types: the machine, and the monitor that descriptors come from."""

    machine: Machine
    monitor: Monitor

    async def execute(self, name: str, /, **arguments: Any) -> Any:
        """Run a QMP command; `-` in the names of arguments is `_`. Raises QMPError."""
        command = registry.find(name)
        assert command is not None, name
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        checked = self.machine.schema.check_arguments(name, given)
        result = command.call(self.machine, self.monitor, checked)
        return await result if isawaitable(result) else result


class HumanCommand(NamedTuple):
    """One command: `name` as the table shows it, such as "stop|s", and its arguments."""

    name: str
    arguments: str
    run: Run


_commands: dict[str, HumanCommand] = {}


def hmp(name: str, arguments: str = "") -> Callable[[Run], Run]:
    """Register a function as the command `name`; other names of it stand after a bar."""

    def register(run: Run) -> Run:
        prefix, _, last = name.rpartition(" ")
        for each in last.split("|"):
            _commands[f"{prefix} {each}".strip()] = HumanCommand(last, arguments, run)
        return run

    return register


async def run(machine: Machine, monitor: Monitor, line: str) -> str:
    """Run one line and return what it prints; errors are text, too."""
    name, rest = _split(line)
    if not name:
        return ""
    command = _loaded().get(name)
    if command is None:
        return _unknown(machine, name, rest)
    try:
        arguments = list(_parse(command, rest))
    except QMPError as error:
        return f'{error}\nTry "help {name}" for more information\n'
    try:
        printed = command.run(Session(machine, monitor), *arguments)
        return str(await printed if isawaitable(printed) else printed)
    except QMPError as error:
        return f"Error: {error}\n"


def described(machine: Machine, topic: str) -> str:
    """Return the lines of help about a topic, all about commands where it is empty."""
    if topic in ("", "info"):
        return _text(machine, "info" if topic else "help")
    first, _, second = topic.partition(" ")
    kind = "info" if first == "info" else "help"
    wanted = second if kind == "info" else first
    entries = [each for each in _entries(machine, kind) if wanted in _names(each, kind)]
    return "".join(entries) or f"unknown command: '{topic}'\n"


def _split(line: str) -> tuple[str, str]:
    """Return the command's name, "info" with what follows it, and the rest of the line."""
    name, *rest = line.split(maxsplit=1) or ("",)
    if name != "info" or not rest:
        return name, "".join(rest).strip()
    second, *rest = rest[0].split(maxsplit=1)
    return f"info {second}", "".join(rest).strip()


def _unknown(machine: Machine, name: str, rest: str) -> str:
    recorded = _recorded(machine, name)
    if recorded is not None and not rest:
        return recorded.replace("\r\n", "\n")
    kind = "info" if name.startswith("info ") else "help"
    last = name.removeprefix("info ")
    if any(last in _names(entry, kind) for entry in _entries(machine, kind)):
        return f"Error: not simulated by qemu-sim: {name}\n"
    return f"unknown command: '{name}'\n"


def _recorded(machine: Machine, name: str) -> str | None:
    """Return what "info" printed on an idle machine, as long as this one is idle, too."""
    board = machine.board
    if board.devices or board.objects or board.graph.nodes or board.drives.listed():
        return None
    family = idle.family(machine.machine_type) or ""
    return machine.profile.idle_hmp.get(family, {}).get(name.removeprefix("info "))


def _parse(command: HumanCommand, rest: str) -> Iterator[Any]:
    """Read the arguments. Raises QMPError in QEMU's words."""
    for argument in filter(None, command.arguments.split(",")):
        kind = argument.partition(":")[2]
        if kind.startswith("S"):
            yield rest
            return
        found = _WORD.match(rest)
        if found is None and kind.endswith("?"):
            yield None
            continue
        word = found[1].strip('"') if found else ""
        yield _value(command.name, kind, word)
        rest = rest[found.end() :] if found else ""
    if rest.strip():
        raise QMPError(f"{command.name}: extraneous characters at the end of line")


def _value(name: str, kind: str, word: str) -> Any:
    match kind[0]:
        case "b":
            if word not in _SWITCH:
                raise QMPError("Expected 'on' or 'off'")
            return _SWITCH[word]
        case "i":
            try:
                return int(word, 0)
            except ValueError:
                if not word:
                    raise QMPError("unexpected end of expression") from None
                raise QMPError(f"invalid char '{word[0]}' in expression") from None
    if not word:
        raise QMPError(f"{name}: string expected")
    return word


def _text(machine: Machine, kind: str) -> str:
    return machine.profile.hmp_help[kind].replace("\r\n", "\n")


def _entries(machine: Machine, kind: str) -> list[str]:
    """Return what help says of each command; an entry may have several lines."""
    return [entry for entry in _ENTRY.split(_text(machine, kind)) if entry]


def _names(entry: str, kind: str) -> list[str]:
    words = entry.split(" ")
    return words[1 if kind == "info" else 0].split("|")


def _loaded() -> dict[str, HumanCommand]:
    if not _commands:
        for module in _MODULES:
            importlib.import_module(f"{__package__}.{module}")
    return _commands
