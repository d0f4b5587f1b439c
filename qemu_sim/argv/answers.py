"""The texts that a command line can ask for instead of a start.

QEMU: system/vl.c (version, help), hw/core/machine.c (machine_help_func)
"""

from __future__ import annotations

from collections.abc import Callable

from qemu_sim import __version__, catalog
from qemu_sim.argv import table
from qemu_sim.machine.configuration import StartError
from qemu_sim.qapi.profile import Profile

_COLUMN = 16


def answer(topic: str, program: str, profile: Profile) -> str:
    """Return the text about `topic`. Raises StartError where there is none."""
    if topic == "help":
        return _help(program, profile)
    found = _ANSWERS.get(topic)
    if found is None:
        raise StartError(f"-{topic} help: not simulated by qemu-sim")
    return found(profile)


def _version(profile: Profile) -> str:
    version = ".".join(map(str, profile.version))
    return (
        f"QEMU emulator version {version} (qemu-sim {__version__})\n"
        "A simulation of QEMU's management interfaces; no part of it is QEMU.\n"
    )


def _help(program: str, profile: Profile) -> str:
    parts = [
        _version(profile),
        f"usage: {program} [options]\n",
        _section("Options", table.SIMULATED),
        _section("Options that are checked and change nothing", table.HARMLESS),
        "All other options of QEMU end the start with 'not simulated by qemu-sim'.\n",
    ]
    return "\n".join(parts)


def _section(title: str, options: dict[str, table.Option]) -> str:
    lines = [f"{title}:\n"]
    for name, (argument, text) in options.items():
        form = f"-{name}" if argument is None else f"-{name} {argument}"
        gap = "\n" + " " * _COLUMN if len(form) >= _COLUMN else " " * (_COLUMN - len(form))
        lines.append(f"{form}{gap}{text}\n")
    return "".join(lines)


def _machines(profile: Profile) -> str:
    lines = ["Machine types of this profile are:\n"]
    lines.extend(f"{name}\n" for name in sorted(profile.machines))
    return "".join(lines)


def _cpus(profile: Profile) -> str:
    names = sorted(entry["name"] for entry in profile.section("query-cpu-definitions"))
    return "Available CPUs:\n" + "".join(f"  {name}\n" for name in names)


def _accelerators(profile: Profile) -> str:
    names = [name.removesuffix("-accel") for name in profile.types if name.endswith("-accel")]
    return "Accelerators supported in QEMU binary:\n" + "".join(f"{name}\n" for name in names)


def _simulated(title: str, package: str, prefix: str) -> Callable[[Profile], str]:
    def found(_profile: Profile) -> str:
        return f"{title}:\n" + "".join(f"{name}\n" for name in catalog.names(package, prefix))

    return found


_ANSWERS: dict[str, Callable[[Profile], str]] = {
    "version": _version,
    "machine": _machines,
    "accel": _accelerators,
    "cpu": _cpus,
    "netdev": _simulated("Available netdev backend types", "qemu_sim.backends", "netdev"),
    "chardev": _simulated("Available chardev backend types", "qemu_sim.backends", "chardev"),
    "device": _simulated("Simulated devices", "qemu_sim.devices", ""),
    "object": _simulated("Simulated user creatable objects", "qemu_sim.backends", ""),
}
