"""QMP commands by name. A command is a function in one of this package's files.

    @command("set_link")
    def set_link(machine: Machine, *, name: str, up: bool) -> None: ...

The arguments were checked against the QEMU profile before the call; `-` in a QMP name is
`_` here, what is optional has a default. The result is the reply's `return`; None is `{}`.
The function may be async. A command that deals with descriptors asks for its monitor too:

    @command("getfd", monitor=True)
    def getfd(machine: Machine, monitor: Monitor, *, fdname: str) -> None: ...

A command that only repeats what was recorded says so with `recorded=True`, one that always
fails because the thing itself is missing here with `refused=True`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.fds import Fd

Run = Callable[..., Any]
_Run = TypeVar("_Run", bound=Run)


class Monitor(Protocol):
    """What a command may ask of the monitor it came from."""

    id: str

    def take_fd(self) -> Fd | None:
        """Return the first descriptor the client sent and did not claim; the rest is closed."""

    @property
    def named_fds(self) -> dict[str, Fd]:
        """Descriptors by the name `getfd` gave them."""


class Command(NamedTuple):
    """One command: the function and how it is called."""

    name: str
    run: Run
    wants_monitor: bool
    takes_raw: bool
    is_recorded: bool = False
    is_refused: bool = False

    def call(self, machine: object, monitor: Monitor, arguments: dict[str, Any]) -> Any:
        """Call it with checked arguments; a coroutine if it is async."""
        first = (machine, monitor) if self.wants_monitor else (machine,)
        if self.takes_raw:
            return self.run(*first, arguments)
        return self.run(*first, **_keywords(arguments)) if arguments else self.run(*first)


_commands: dict[str, Command] = {}


def command(
    name: str,
    *,
    monitor: bool = False,
    raw: bool = False,
    recorded: bool = False,
    refused: bool = False,
) -> Callable[[_Run], _Run]:
    """Register a function as the QMP command `name`.

    With `monitor` it is given its monitor after the machine, with `raw` the arguments as
    one dict under their QMP names (for commands whose arguments are open-ended).
    """

    def register(run: _Run) -> _Run:
        assert name not in _commands, name
        _commands[name] = Command(name, run, monitor, raw, recorded, refused)
        return run

    return register


def find(name: str) -> Command | None:
    """Return the command of that name. The first call loads all of them."""
    return _loaded().get(name)


def names() -> list[str]:
    """Return the names of all commands, sorted."""
    return sorted(_loaded())


def _keywords(arguments: dict[str, Any]) -> dict[str, Any]:
    """Turn QMP argument names into Python's."""
    return {name.replace("-", "_"): value for name, value in arguments.items()}


def named_fds(monitor: Monitor, names: str | None) -> list[Fd]:
    """Take the descriptors that `getfd` named; `names` are separated by colons.

    Raises QMPError for a name that is not there; nothing is taken then.
    """
    wanted = names.split(":") if names else []
    for name in wanted:
        if name not in monitor.named_fds:
            raise QMPError(f"File descriptor named '{name}' has not been found")
    return [monitor.named_fds.pop(name) for name in wanted]


@cache
def _loaded() -> dict[str, Command]:
    # pkgutil would load `inspect`, a third of what the first command takes.
    for name in sorted(os.listdir(os.path.dirname(__file__))):
        if name.endswith(".py") and name not in ("__init__.py", "registry.py"):
            importlib.import_module(f"{__package__}.{name.removesuffix('.py')}")
    return _commands
