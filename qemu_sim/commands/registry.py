"""QMP commands by name. A command is a function in one of this package's files.

    @command("set_link")
    def set_link(machine: Machine, *, name: str, up: bool) -> None: ...

The arguments were checked against the QEMU profile before the call; `-` in a QMP name is
`_` here, what is optional has a default. The result is the reply's `return`; None is `{}`.
The function may be async. A command that deals with descriptors asks for its monitor too:

    @command("getfd", monitor=True)
    def getfd(machine: Machine, monitor: Monitor, *, fdname: str) -> None: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from qemu_sim.fds import Fd

Run = Callable[..., Any]
_Run = TypeVar("_Run", bound=Run)


class Monitor(Protocol):
    """What a command may ask of the monitor it came from."""

    def take_fd(self) -> Fd | None:
        """Return the first descriptor the client sent and did not claim; the rest is closed."""

    @property
    def named_fds(self) -> dict[str, Fd]:
        """Descriptors by the name `getfd` gave them."""


class Command(NamedTuple):
    """One command: the function, and whether it is given its monitor."""

    name: str
    run: Run
    wants_monitor: bool


_commands: dict[str, Command] = {}


def command(name: str, *, monitor: bool = False) -> Callable[[_Run], _Run]:
    """Register a function as the QMP command `name`."""

    def register(run: _Run) -> _Run:
        assert name not in _commands, name
        _commands[name] = Command(name, run, monitor)
        return run

    return register


def find(name: str) -> Command | None:
    """Return the command of that name. The first call loads all of them."""
    return _loaded().get(name)


def names() -> list[str]:
    """Return the names of all commands, sorted."""
    return sorted(_loaded())


def keywords(arguments: dict[str, Any]) -> dict[str, Any]:
    """Turn QMP argument names into Python's."""
    return {name.replace("-", "_"): value for name, value in arguments.items()}


def _loaded() -> dict[str, Command]:
    if not _commands:
        package = importlib.import_module(__package__)
        for module in pkgutil.iter_modules(package.__path__):
            if module.name != "registry":
                importlib.import_module(f"{__package__}.{module.name}")
    return _commands
