"""The command `qemu-sim profile`: what is known of real QEMUs, and how to learn more.

    list                     the profiles that come with the program
    show NAME                one profile in numbers
    diff A B                 commands, events, types and machines that only one has
    record -o FILE -- QEMU…  ask a real QEMU about itself
    import -o FILE REPLIES   read libvirt's record of a QEMU

A NAME with a slash is a file, as for `-sim profile=`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from qemu_sim.errors import QMPError
from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.emulator import EmulatorGone
from qemu_sim.qapi.profile import Profile

# What a profile is counted and compared by.
_KINDS: dict[str, Callable[[Profile], set[str]]] = {
    "commands": lambda profile: set(profile.schema.names("command")),
    "events": lambda profile: set(profile.schema.names("event")),
    "types": lambda profile: set(profile.types),
    "machines": lambda profile: {each["name"] for each in profile.machines.values()},
}


def main(argv: list[str]) -> int:
    """Run the command with the arguments behind its name; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        options.run(options)
    except (QMPError, EmulatorGone, OSError, ValueError) as error:
        sys.stderr.write(f"qemu-sim profile: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qemu-sim profile", description="Recorded facts about real QEMUs."
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    verb = verbs.add_parser("list", help="the profiles that come with the program")
    verb.set_defaults(run=_list)
    verb = verbs.add_parser("show", help="one profile in numbers")
    verb.add_argument("name", metavar="NAME")
    verb.set_defaults(run=_show)
    verb = verbs.add_parser("diff", help="what only one of two has")
    verb.add_argument("names", metavar="NAME", nargs=2)
    verb.set_defaults(run=_diff)
    verb = verbs.add_parser("record", help="ask a real QEMU about itself")
    verb.add_argument("-o", "--output", metavar="FILE", required=True)
    verb.add_argument("program", metavar="QEMU", nargs="+", help="program, maybe with options")
    verb.set_defaults(run=_record)
    verb = verbs.add_parser("import", help="read libvirt's record of a QEMU")
    verb.add_argument("-o", "--output", metavar="FILE", required=True)
    verb.add_argument("replies", metavar="REPLIES")
    verb.set_defaults(run=_import)
    return parser


def _list(_options: argparse.Namespace) -> None:
    for name in profiles.shipped():
        _say(f"{name}\t{_title(profiles.load(name))}")


def _show(options: argparse.Namespace) -> None:
    profile = profiles.load(options.name)
    _say(_title(profile))
    for kind, names_of in _KINDS.items():
        _say(f"{kind:10}{len(names_of(profile)):6}")


def _diff(options: argparse.Namespace) -> None:
    old, new = (profiles.load(name) for name in options.names)
    for kind, names_of in _KINDS.items():
        gone, come = names_of(old) - names_of(new), names_of(new) - names_of(old)
        _say(f"{kind}: {len(gone)} only in {options.names[0]}, {len(come)} in {options.names[1]}")
        for name in sorted(gone | come):
            _say(f"{'-' if name in gone else '+'} {name}")


def _record(options: argparse.Namespace) -> None:
    from qemu_sim.qapi.record import record, write_record  # noqa: PLC0415 - one verb's own

    write_record(options.output, record(options.program))
    _say(f"{options.output}: {_title(profiles.load(_as_path(options.output)))}")


def _import(options: argparse.Namespace) -> None:
    from qemu_sim.qapi import replies  # noqa: PLC0415 - one verb's own
    from qemu_sim.qapi.record import write_record  # noqa: PLC0415

    with open(options.replies, encoding="utf-8") as file:
        answers = replies.read_replies(file.read())
    shipped = [profiles.load(name) for name in profiles.shipped()]
    nearest = replies.nearest_of(answers["query-version"]["qemu"], shipped)
    recorded, borrowed = replies.completed(answers, nearest)
    write_record(options.output, recorded)
    _say(f"{options.output}: {_title(profiles.load(_as_path(options.output)))}")
    _say(f"not in {options.replies}, taken from {_title(nearest)}: {', '.join(borrowed)}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _title(profile: Profile) -> str:
    version = ".".join(map(str, profile.version))
    return f"QEMU {version} {profile.arch} {profile.package}".rstrip()


def _as_path(name: str) -> str:
    """A name with a slash, which a profile's name never has."""
    return name if "/" in name else f"./{name}"
