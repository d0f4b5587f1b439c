"""What real QEMUs answered, and what in an answer may differ from run to run."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")
VERSIONS = {"11.1": "11.1.3", "7.2": "7.2.22"}
_ARGV = ["-machine", "none", "-nodefaults", "-display", "none"]
_MONITOR = ["-qmp", "unix:@TMP@/qmp,server=on,wait=off"]
# What only a process of its own can do or show, or what would hold up all others.
_PROCESS_STEPS = {"spawn", "exit", "stderr", "signal", "send_gen"}


class Case(NamedTuple):
    """One recorded session: what was sent, step by step, and what came back."""

    name: str
    group: str
    prelude: str  # "none": nothing is started; "raw": connected; "neg" and "oob": negotiated
    argv: list[str]
    normalise: list[str]
    steps: list[dict[str, Any]]
    random_files: dict[str, int]  # files with content that does not compress: name to bytes

    @property
    def needs_process(self) -> bool:
        """Whether it cannot share a process with other cases."""
        return any(step["op"] in _PROCESS_STEPS for step in self.steps)


def files(version: str) -> list[str]:
    """Return the recordings of a QEMU: of its interface, and of longer sequences of commands."""
    names = (f"recorded-{version}.jsonl", f"sequences-{version}.jsonl.xz")
    return [os.path.join(DATA, name) for name in names]


def load(paths: list[str]) -> list[Case]:
    """Read the cases of recordings (JSON lines, plain or xz)."""
    cases = []
    for path in paths:
        with (lzma.open if path.endswith(".xz") else open)(path, "rt", encoding="ascii") as lines:
            cases += [_case(json.loads(line)) for line in lines]
    return cases


def _case(record: dict[str, Any]) -> Case:
    argv = record.get("argv", _ARGV) + record.get("mon", _MONITOR)
    names = ["timestamp", "program", *record.get("normalise", ())]
    random_files = record.get("randfiles", {})
    place = (record["case"], record["group"], record["prelude"])
    return Case(*place, argv, names, record["steps"], random_files)


def difference(step: dict[str, Any], got: bytes, ended: bool, names: list[str]) -> str | None:
    """Say how an answer differs from the recorded one; None if it does not.

    Of a long answer only the beginning, the length and the hash were kept.
    """
    want, got = normalised(step["expect"].encode("latin-1"), names), normalised(got, names)
    same = want == got
    if "sha256" in step:
        digest = hashlib.sha256(got).hexdigest()
        same = len(got) == step["total"] and digest == step["sha256"]
    if not same:
        return f"want {_shortened(want)}\n     got  {_shortened(got)}"
    if ended != step.get("eof", False):
        return "the connection ended" if ended else "the connection did not end"
    return None


def normalised(data: bytes, names: list[str]) -> bytes:
    """Replace what may differ."""
    for name in names:
        data = _NORMALISERS[name](data)
    return data


def _shortened(data: bytes) -> str:
    return repr(data if len(data) <= 700 else data[:700] + b"...")[1:]


def _replaced(pattern: bytes, text: bytes) -> Callable[[bytes], bytes]:
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda data: compiled.sub(text, data)


def _zeroed(*members: bytes) -> Callable[[bytes], bytes]:
    """Let numbers be 0 whose members' names are alternatives of a pattern."""
    return _replaced(rb'("(?:' + b"|".join(members) + rb')":\s*)-?[\d.e+-]+', rb"\g<1>0")


def _version(data: bytes) -> bytes:
    data = _zeroed(b"micro", b"minor", b"major")(data)
    return re.sub(rb'("package":\s*")[^"]*', rb"\g<1>@PKG@", data)


def _stderr(data: bytes) -> bytes:
    data = re.sub(rb"(?m)^.*is deprecated.*\n", b"", data)
    return re.sub(rb"from pid \d+ \([^)]*\)", b"from pid N", data)


_NORMALISERS: dict[str, Callable[[bytes], bytes]] = {
    "timestamp": _zeroed(b"seconds", b"microseconds"),
    "program": _replaced(rb"^qemu-[\w-]+: ", b"@PROG@: "),
    "version": _version,
    "stderr": _stderr,
    "fd": _zeroed(b"fd"),
    "port": _replaced(rb'("port":\s*")\d+', rb"\g<1>0"),
    # Without a network nobody can know that the name does not exist.
    "resolver": _replaced(b"Temporary failure in name resolution", b"Name or service not known"),
    # How many passes a migration takes is a matter of time.
    "nopass": _replaced(rb'^\{"timestamp"[^\n]*"event": "MIGRATION_PASS"[^\n]*\n', b""),
    "migstats": _zeroed(
        rb"(?:total|setup|down)-?time|expected-downtime(?:-exact)?|transferred|remaining|total|skipped",
        rb"normal(?:-bytes)?|duplicate|mbps|dirty-sync-(?:count|missed-zero-copy)|page-size",
        rb"(?:precopy|downtime|postcopy|multifd)-bytes|postcopy-requests|dirty-pages-rate",
        rb"pages-per-second|postcopy-(?:blocktime|latency|non-vcpu-latency)",
    ),
}
