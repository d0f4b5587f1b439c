"""Make a profile: everything a real QEMU says about itself, and nothing else.

A section is named after the command that answered; commands that this QEMU does not
have leave no section. Two sections hold an answer for each type name (see pool.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from qemu_sim.errors import CommandNotFound, QMPError
from qemu_sim.qapi import objects
from qemu_sim.qapi.archive import write_archive
from qemu_sim.qapi.emulator import Emulator, EmulatorGone
from qemu_sim.qapi.idle import FAMILIES, IDLE_QUERIES
from qemu_sim.qapi.plugged import plugged
from qemu_sim.qapi.pool import pooled
from qemu_sim.qapi.probe import UNKNOWN, probe_types

_BARE = ("-S", "-nodefaults", "-display", "none", "-machine", "none")
_PC = ("-S", "-nodefaults", "-display", "none", "-machine", "q35", "-accel", "tcg")

_IDLE = ("-S", "-nodefaults", "-display", "none", "-accel", "tcg", "-machine")

_EARLY = "permitted only after machine initialization"

# Answers that belong to the program, not to a running machine.
_QUERIES = (
    "query-accelerators",
    "query-command-line-options",
    "query-commands",
    "query-cpu-definitions",
    "query-machines",
    "query-migrate-capabilities",
    "query-migrate-parameters",
    "query-qmp-schema",
    "query-stats-schemas",
    "query-target",
    "query-tpm-models",
    "query-tpm-types",
)
_TOO_LONG = {"trace-events"}
_VERSIONED = r"-v\d+$"  # a version of a CPU model: three times as many would be slow to load


def record(argv: Sequence[str]) -> dict[str, Any]:
    """Ask the QEMU that `argv` starts. Returns {"head": …, "sections": {name: answer}}.

    Raises OSError where the program cannot start and EmulatorGone where it is no QEMU.
    """
    with Emulator([*argv, *_BARE]) as emulator:
        version = emulator.execute("query-version")
        head = {
            "version": version["qemu"],
            "package": version["package"],
            "capabilities": emulator.greeting["capabilities"],
            "arch": emulator.execute("query-target")["arch"],
        }
        sections = _ask_each(emulator, _QUERIES)
        sections["qom-list-types"] = emulator.execute("qom-list-types", abstract=True)
        sections["interfaces"] = objects.interfaces(emulator, sections["qom-list-types"])
        sections |= _compat_properties(emulator, sections["query-qmp-schema"])
        sections["hmp-help"] = hmp_help(emulator)
        sections["member-types"] = probe_types(emulator, sections["query-qmp-schema"])
    types = [kind["name"] for kind in sections["qom-list-types"]]
    for command in ("device-list-properties", "qom-list-properties"):
        sections[command] = pooled(_ask_types(argv, command, types))
    sections["query-cpu-model-expansion"] = _expand_models(
        argv, [each["name"] for each in sections["query-cpu-definitions"]]
    )
    sections["idle-answers"] = {family: _idle_answers(argv, family) for family in FAMILIES}
    sections["idle-hmp"] = {family: _idle_hmp(argv, family) for family in FAMILIES}
    sections["idle-qtree"] = {family: _idle_qtree(argv, family) for family in FAMILIES}
    sections["idle-trees"] = {
        family: pooled(objects.tree([*argv, *_IDLE, family])) for family in FAMILIES
    }
    sections["plugged"], trees = plugged(argv, sections["qom-list-types"])
    sections["plugged-trees"] = pooled(trees)
    machines = [each["name"] for each in sections["query-machines"]]
    sections["machine-values"] = objects.machines([*argv, *_IDLE[:-1]], machines)
    sections["object-values"] = objects.new_objects([*argv, *_BARE], sections["query-qmp-schema"])
    commands = [each["name"] for each in sections["query-commands"]]
    sections["allow-preconfig"] = _preconfig_commands(argv, commands)
    return {"head": head, "sections": sections}


def write_record(path: str, recorded: dict[str, Any]) -> None:
    """Store what `record` returned as a profile file."""
    write_archive(path, recorded["head"], recorded["sections"])


def _ask_each(emulator: Emulator, commands: Iterable[str]) -> dict[str, Any]:
    answers = {}
    for command in commands:
        try:
            answers[command] = emulator.execute(command)
        except QMPError:
            continue  # an older or newer QEMU without it
    return answers


def _idle_answers(argv: Sequence[str], family: str) -> dict[str, Any]:
    """What a machine without devices answers; see Profile.idle_answers."""
    answers: dict[str, Any] = {}
    with Emulator([*argv, *_IDLE, family]) as emulator:
        for command in IDLE_QUERIES:
            try:
                answers[command] = {"return": emulator.execute(command)}
            except CommandNotFound:
                continue  # an older or newer QEMU without it
            except QMPError as error:
                answers[command] = {"error": [error.class_, str(error)]}
    return answers


def _idle_hmp(argv: Sequence[str], family: str) -> dict[str, str]:
    """What "info" prints of each topic, where two machines with different RAM print the same."""
    first, second = (_info([*argv, *_IDLE, family, "-m", size]) for size in objects.DIFFERENT_SIZES)
    return {topic: text for topic, text in first.items() if second.get(topic) == text}


def _idle_qtree(argv: Sequence[str], family: str) -> list[str]:
    """The lines of "info qtree"; the sizes of RAM in them are those of the machine."""
    with Emulator([*argv, *_IDLE, family]) as emulator:
        text = emulator.execute_with("human-monitor-command", {"command-line": "info qtree"})
    return list(text.splitlines())


def _info(argv: Sequence[str]) -> dict[str, str]:
    with Emulator(argv) as emulator:
        listed = hmp_help(emulator)["info"]
        topics = [line.split()[1] for line in listed.splitlines() if line.startswith("info ")]
        return {
            topic: emulator.execute_with("human-monitor-command", {"command-line": f"info {topic}"})
            for topic in topics
            if topic not in _TOO_LONG
        }


def hmp_help(emulator: Emulator) -> dict[str, str]:
    """What the human monitor says of its commands, and of those that begin with "info"."""
    return {
        topic: emulator.execute_with("human-monitor-command", {"command-line": topic})
        for topic in ("help", "info")
    }


def _preconfig_commands(argv: Sequence[str], commands: Iterable[str]) -> list[str]:
    """The commands that get as far as their arguments before the machine is initialized."""
    allowed = []
    with Emulator([*argv, *_BARE, "--preconfig"]) as emulator:
        for command in commands:
            try:
                emulator.execute_with(command, {UNKNOWN: 0})
            except QMPError as error:
                if _EARLY not in str(error):
                    allowed.append(command)
    return allowed


def _compat_properties(emulator: Emulator, schema: list[dict[str, Any]]) -> dict[str, Any]:
    """What each machine type changes, where query-machines can tell (QEMU 9.1 and later)."""
    entities = {entity["name"]: entity for entity in schema}
    arguments = entities[entities["query-machines"]["arg-type"]]["members"]
    if not any(member["name"] == "compat-props" for member in arguments):
        return {}
    machines = emulator.execute_with("query-machines", {"compat-props": True})
    return {
        "compat-props": {each["name"]: each.get("compat-props", []) for each in machines},
    }


def _ask_types(argv: Sequence[str], command: str, types: Iterable[str]) -> dict[str, Any]:
    """The answer for each type; one that QEMU refuses or dies of has none."""
    answers = {}
    waiting = list(reversed(list(types)))
    died_of = ""
    while waiting:
        with _with_modules(argv) as emulator:
            try:
                while waiting:
                    name = waiting.pop()
                    with suppress(QMPError):  # no device, or an interface
                        answers[name] = emulator.execute(command, typename=name)
            except EmulatorGone:
                # QEMU makes an object of the type, and some cannot be unmade. The culprit
                # may also be the type before, so that each gets a second chance.
                if died_of != name:
                    waiting.append(name)
                died_of = name
    return answers


def _with_modules(argv: Sequence[str]) -> Emulator:
    """Start QEMU and have it load its modules: listing all types does that."""
    emulator = Emulator([*argv, *_BARE])
    emulator.execute("qom-list-types")
    return emulator


def _expand_models(argv: Sequence[str], models: Iterable[str]) -> dict[str, Any]:
    """Static and full expansion of CPU models: {model: {kind: answer}}."""
    expansions: dict[str, Any] = {}
    with Emulator([*argv, *_PC]) as emulator:
        for model in (each for each in models if not re.search(_VERSIONED, each)):
            for kind in ("static", "full"):
                try:
                    answer = emulator.execute(
                        "query-cpu-model-expansion", type=kind, model={"name": model}
                    )
                except QMPError:
                    continue  # not this target, or KVM only
                expansions.setdefault(model, {})[kind] = answer
    return expansions
