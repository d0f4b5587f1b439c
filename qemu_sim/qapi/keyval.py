"""Option texts whose keys have dots, such as `q35,smp.cpus=2,hmat=on`, read as nested dicts.

QEMU: util/keyval.c

The newer of QEMU's two option syntaxes: `a.b=1` is the member b of the object a, `a.0=1`
the first element of the list a, and a bare key is an error. All values are strings; their
types are a matter of the schema.
"""

from __future__ import annotations

import re
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.opts import split_value

_NAME = r"(?:__[a-zA-Z0-9.-]+_)?[a-zA-Z][a-zA-Z0-9_-]*"
_INDEX = r"[0-9]+"
_LONGEST_FRAGMENT = 127
_INT64 = 1 << 63

Tree = dict[str, Any]


def parse_keyval(text: str, implied: str | None = None) -> Tree:
    """Read `text`. Raises QMPError in QEMU's words.

    The implied key's value ends at the first comma; there is no escape in it.
    """
    root: Tree = {}
    at = 0
    while at < len(text):
        at = _parse_one(root, text, at, implied if at == 0 else None)
    return {key: _with_lists(value, f"{key}.") for key, value in root.items()}


def merge(into: Tree, more: Tree) -> None:
    """Add `more` to `into`: objects are merged, anything else is replaced."""
    for key, value in more.items():
        known = into.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            merge(known, value)
        else:
            into[key] = value


def parse_integer(path: str, text: str) -> int:
    """Read a signed integer. Raises QMPError in QEMU's words."""
    try:
        number = int(text, 0 if text.lower().lstrip("+-").startswith("0x") else 10)
    except ValueError:
        number = None
    if number is None or not -_INT64 <= number < _INT64:
        raise QMPError(f"Parameter '{path}' expects integer")
    return number


def _parse_one(root: Tree, text: str, at: int, implied: str | None) -> int:
    """Read the part at `at` into `root`; return where the next one starts."""
    end = at
    while end < len(text) and text[end] not in "=,":
        end += 1
    if implied is not None and end > at and text[end : end + 1] != "=":
        _put(root, [implied], text[at:end])
        return end + 1
    key = text[at:end]
    fragments = _fragments(key)
    if text[end : end + 1] != "=":
        raise QMPError(f"Expected '=' after parameter '{key}'")
    value, after = split_value(text, end + 1)
    _put(root, fragments, value)
    return after


def _fragments(key: str) -> list[str]:
    fragments = []
    at = 0
    while True:
        rest = key[at:]
        found = (re.match(_INDEX, rest) if at else None) or re.match(_NAME, rest)
        if found is None or rest[found.end() : found.end() + 1] not in ("", "."):
            raise QMPError(f"Invalid parameter '{key}'")
        fragment = found[0]
        if len(fragment) > _LONGEST_FRAGMENT:
            part = "" if fragment == key else " fragment"
            raise QMPError(f"Parameter{part} '{fragment}' is too long")
        fragments.append(fragment)
        at += found.end() + 1
        if at > len(key):
            return fragments


def _put(root: Tree, fragments: list[str], value: str) -> None:
    place = root
    for depth, fragment in enumerate(fragments[:-1]):
        place = place.setdefault(fragment, {})
        if not isinstance(place, dict):
            raise _inconsistent(".".join(fragments[: depth + 1]))
    last = fragments[-1]
    if isinstance(place.get(last), dict):
        raise _inconsistent(".".join(fragments))
    place[last] = value


def _with_lists(value: Any, prefix: str) -> Any:
    """Return `value` with each object that has only indices for keys turned into a list."""
    if not isinstance(value, dict):
        return value
    members = {key: _with_lists(member, f"{prefix}{key}.") for key, member in value.items()}
    indices = {int(key): member for key, member in members.items() if re.fullmatch(_INDEX, key)}
    if not indices:
        return members
    if len(indices) < len(members):
        raise _inconsistent(prefix.removesuffix("."))
    for index in range(len(indices)):
        if index not in indices:
            raise QMPError(f"Parameter '{prefix}{index}' missing")
    return [indices[index] for index in sorted(indices)]


def _inconsistent(path: str) -> QMPError:
    return QMPError(f"Parameters '{path}.*' used inconsistently")
