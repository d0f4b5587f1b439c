"""HMP commands by name, and how a line becomes a call.

QEMU: monitor/hmp.c (handle_hmp_command)

    @hmp("set_link")
    def set_link(session: Session, name: str, up: bool) -> str: ...

The arguments are those of the command's signature; what may be missing has a default, and `-` in
a name is `_`. "info status" is a command of its own. Which commands exist, and their other names,
is what the recorded QEMU prints as help. What it has besides those registered here is read and
then not simulated, but for what "info" prints of an idle machine, which was recorded.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.commands import registry
from qemu_sim.commands.hmp import arguments
from qemu_sim.commands.hmp.signatures import OLDER, PRECONFIG, SIGNATURES
from qemu_sim.errors import QMPError
from qemu_sim.qapi import idle

if TYPE_CHECKING:
    from qemu_sim.commands.registry import Monitor
    from qemu_sim.machine.machine import Machine
    from qemu_sim.qapi.profile import Profile

Run = Callable[..., Any]

_MODULES = (
    *("block", "control", "dumping", "info", "info_block", "info_machine", "info_migrate"),
    *(
        "info_migration",
        "info_pci",
        "info_virtio",
        "migration",
        "nbd",
        "parts",
        "printing",
        "qom",
        "snapshot",
    ),
)
_NAME = re.compile(r"\s*([^\s/]*)\s*")
_ENTRY = re.compile(r"^(?=[^\s\[])", re.MULTILINE)  # one entry may have several lines
# What parts that a client plugs do not change.
_WHATEVER_IS_PLUGGED = frozenset(
    {
        *("info capture", "info cryptodev", "info jit", "info lapic", "info mem", "info pic"),
        *("info registers", "info sev", "info sgx", "info sync-profile", "info tlb"),
        *("info usbhost", "info via", "info opcount", "info profile", "info rdma"),
    }
)
# What QMP says of a word that is none of an enum; HMP has its own words.
_BAD_ENUM = re.compile(r"Parameter '[^']*' does not accept value '(.*)'")
_NEWER = (8, 0, 0)  # than 7.2


class Session(NamedTuple):
    """Who types: the machine, and the monitor that descriptors come from."""

    machine: Machine
    monitor: Monitor

    async def execute(self, name: str, /, **arguments: Any) -> Any:
        """Run a QMP command; `-` in the names of arguments is `_`. Raises QMPError."""
        command = registry.find(name)
        assert command is not None, name
        schema = self.machine.schema
        entity = schema.by_name[schema.by_name[name]["arg-type"]]
        known = {member["name"] for member in entity["members"]}
        given = {_spelled(key, known): value for key, value in arguments.items()}
        try:
            checked = schema.check_arguments(name, given)
        except QMPError as error:
            found = _BAD_ENUM.fullmatch(str(error))
            raise QMPError(f"invalid parameter value: {found[1]}") if found else error from None
        result = command.call(self.machine, self.monitor, checked)
        return await result if isawaitable(result) else result


class Entry(NamedTuple):
    """One command of the recorded QEMU. `shown` has all its names, such as "print|p".

    `name` is the first of them, for one of "info" with that before it; `text` its lines of help.
    """

    name: str
    shown: str
    text: str


class Called(NamedTuple):
    """A command that a line calls: the line up to its arguments, and these."""

    entry: Entry
    words: str
    rest: str


_commands: dict[str, Run] = {}


def hmp(name: str) -> Callable[[Run], Run]:
    """Register a function as the command `name`."""

    def register(run: Run) -> Run:
        assert name not in _commands, name
        _commands[name] = run
        return run

    return register


def forward(name: str, command: str) -> None:
    """Register `name` as the QMP command whose arguments have the same names."""

    @hmp(name)
    async def run(session: Session, **arguments: Any) -> str:
        await session.execute(command, **arguments)
        return ""


async def run(machine: Machine, monitor: Monitor, line: str) -> str:
    """Run one line and return what it prints; errors are text, too."""
    if not line.strip():
        return ""
    called = _called(machine, line)
    if isinstance(called, str):
        return called
    name, shown, _ = called.entry
    try:
        values = arguments.read(shown, signature(machine.profile, name), called.rest)
    except QMPError as error:
        complaint = f"{error}\n" if str(error) else ""
        return f'{complaint}Try "help {called.words}" for more information\n'
    try:
        return await _run(Session(machine, monitor), name, values)
    except QMPError as error:
        return f"Error: {error.hinted}\n"


def described(machine: Machine, topic: str) -> str:
    """Return the lines of help about a topic, all about commands where it is empty."""
    first, second, *_ = [*topic.split(), "", ""]
    kind = "info" if first == "info" else "help"
    found = [
        entry
        for entry in entries(machine.profile, kind)
        if _is_available(machine, entry.name)
        and (second if kind == "info" else first) in ("", *entry.shown.split("|"))
    ]
    unknown = f"info {second}" if kind == "info" else first
    return "".join(entry.text for entry in found) or f"unknown command: '{unknown}'\n"


def entries(profile: Profile, kind: str) -> Iterator[Entry]:
    """Yield the commands of "help", or those of "info"."""
    for text in _ENTRY.split(profile.hmp_help[kind].replace("\r\n", "\n")):
        if text:
            shown = text.split(" ")[1 if kind == "info" else 0]
            name = shown.partition("|")[0]
            yield Entry(f"info {name}" if kind == "info" else name, shown, text)


def signature(profile: Profile, name: str) -> str:
    """Return the arguments of a command, as `signatures` has them."""
    if profile.version < _NEWER and name in OLDER:
        return OLDER[name]
    return SIGNATURES.get(name, "")


def registered() -> dict[str, Run]:
    """Return the commands that are simulated, by name. The first call loads all of them."""
    if not _commands:
        for module in _MODULES:
            importlib.import_module(f"{__package__}.{module}")
    return _commands


def _spelled(key: str, known: set[str]) -> str:
    dashed = key.replace("_", "-")
    return dashed if dashed in known else key


def _called(machine: Machine, line: str, kind: str = "help", start: int = 0) -> Called | str:
    """Return what the line calls, or what there is to say if that is nothing."""
    found = _NAME.match(line, start)
    assert found is not None  # the caller has looked
    words = line[: found.end(1)]
    for entry in entries(machine.profile, kind):
        if found[1] in entry.shown.split("|"):
            break
    else:
        return f"unknown command: '{words}'\n"
    if not _is_available(machine, entry.name):
        return f"Command '{words}' not available until machine initialization has completed.\n"
    if entry.name == "info" and line[found.end() :].strip():
        return _called(machine, line, "info", found.end())
    return Called(entry, words, line[found.end() :])


def _is_available(machine: Machine, name: str) -> bool:
    return machine.is_initialized or name in PRECONFIG


async def _run(session: Session, name: str, values: dict[str, Any]) -> str:
    command = registered().get(name)
    if command is not None:
        printed = command(session, **{key.replace("-", "_"): values[key] for key in values})
        return str(await printed if isawaitable(printed) else printed)
    if name.startswith("info ") and not values:
        recorded = _recorded(session.machine, name)
        if recorded is not None:
            return recorded.replace("\r\n", "\n")
    raise QMPError(f"not simulated by qemu-sim: {name}")


def _recorded(machine: Machine, name: str) -> str | None:
    """Return what "info" printed on an idle machine, as long as that is true of this one."""
    board = machine.board
    parts = board.devices or board.objects or board.graph.nodes or board.drives.listed()
    if parts and name not in _WHATEVER_IS_PLUGGED:
        return None
    family = idle.family(machine.machine_type) or ""
    return machine.profile.idle_hmp.get(family, {}).get(name.removeprefix("info "))
