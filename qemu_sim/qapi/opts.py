"""Option texts such as `socket,id=c0,path=/tmp/a,,b,server=on`, read as QemuOpts reads them.

QEMU: util/qemu-option.c

`key=value` pairs stand between commas, and a doubled comma in a value stands for one. The
first value may go without its key, when the option has an implied one. A bare `key` means
`key=on` and a bare `nokey` means `key=off`; QEMU deprecates both and says so.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from qemu_sim.errors import QMPError

_IDENTIFIER = r"[A-Za-z][A-Za-z0-9._-]*"
_IDENTIFIER_HINT = "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter."
_BOOLEANS = {
    **dict.fromkeys(("on", "yes", "true", "y"), True),
    **dict.fromkeys(("off", "no", "false", "n"), False),
}
_NUMBER = r"\s*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)"
_UINT64 = 1 << 64

Warn = Callable[[str], None]
Kind = Callable[[str, str], Any]  # key and text to value; raises QMPError


class Pair(NamedTuple):
    """One part between commas. `warning` is QEMU's, for a bare key, and None otherwise."""

    key: str
    value: str
    warning: str | None = None


class Opts(NamedTuple):
    """What an option's text says: the `id` apart, since QEMU treats it apart."""

    id: str | None
    values: dict[str, Any]


class Group(NamedTuple):
    """How one option's text is read.

    `kinds` says how each key's value is read; None takes any key, as a string. A `merged`
    option may be repeated to add to what was said, and has no ID.
    """

    name: str
    implied: str | None = None
    kinds: Mapping[str, Kind] | None = None
    merged: bool = False

    def parse(self, text: str, warn: Warn) -> Opts:
        """Read `text`; the last of equal keys counts. Raises QMPError in QEMU's words."""
        found = list(split(text, self.implied))
        id = next((pair.value for pair in found if pair.key == "id"), None)
        if id is not None:
            self._check_id(id)
        return Opts(id, self.typed(found, warn))

    def typed(self, pairs: Iterable[Pair], warn: Warn | None = None) -> dict[str, Any]:
        """Return the values but for `id`, each of its kind. Raises QMPError in QEMU's words."""
        values: dict[str, Any] = {}
        for pair in pairs:
            if pair.warning is not None and warn is not None:
                warn(pair.warning)
            if pair.key != "id":
                values[pair.key] = self._value(pair.key, pair.value)
        return values

    def _check_id(self, id: str) -> None:
        if self.merged:
            raise QMPError("Invalid parameter 'id'")
        try:
            check_id(id)
        except QMPError as error:
            raise QMPError(f"{error}\n{_IDENTIFIER_HINT}") from None

    def _value(self, key: str, value: str) -> Any:
        if self.kinds is None:
            return value
        kind = self.kinds.get(key)
        if kind is None:
            raise QMPError(f"Invalid parameter '{key}'")
        return kind(key, value)


def check_id(id: str) -> None:
    """Raise QMPError in QEMU's words unless `id` may name an object."""
    if not re.fullmatch(_IDENTIFIER, id):
        raise QMPError("Parameter 'id' expects an identifier")


def split(text: str, implied: str | None = None) -> Iterator[Pair]:
    """Yield the parts of `text` in order."""
    at = 0
    while at < len(text):
        end = _end_of_key(text, at)
        if text[end : end + 1] == "=":
            value, after = split_value(text, end + 1)
            yield Pair(text[at:end], value)
        elif at == 0 and implied is not None:
            value, after = split_value(text, at)
            yield Pair(implied, value)
        else:
            after = end + 1
            yield _bare(text[at:end])
        at = after


def split_value(text: str, at: int) -> tuple[str, int]:
    """Return the value that starts at `at`, a doubled comma being one; and what comes next."""
    pieces = []
    while True:
        comma = text.find(",", at)
        if comma < 0:
            pieces.append(text[at:])
            return "".join(pieces), len(text)
        if text[comma + 1 : comma + 2] != ",":
            pieces.append(text[at:comma])
            return "".join(pieces), comma + 1
        pieces.append(text[at : comma + 1])
        at = comma + 2


def as_text(_key: str, value: str) -> str:
    """Take any text."""
    return value


def parse_bool(key: str, value: str) -> bool:
    """Read a switch. Raises QMPError in QEMU's words."""
    found = _BOOLEANS.get(value)
    if found is None:
        raise QMPError(f"Parameter '{key}' expects 'on' or 'off'")
    return found


def parse_number(key: str, value: str) -> int:
    """Read an unsigned 64-bit integer, decimal, hexadecimal or octal; negatives wrap as in C."""
    found = re.fullmatch(_NUMBER, value)
    if found is None:
        raise QMPError(f"Parameter '{key}' expects a number")
    digits = found[2]
    octal = digits.startswith("0") and digits.isdigit()
    try:
        number = int(digits, 8 if octal else 0)
    except ValueError:  # an 8 or 9 in an octal number
        raise QMPError(f"Parameter '{key}' expects a number") from None
    if number >= _UINT64:
        raise QMPError(f"Value '{value}' is too large for parameter '{key}'")
    return -number % _UINT64 if found[1] == "-" else number


def _end_of_key(text: str, at: int) -> int:
    while at < len(text) and text[at] not in "=,":
        at += 1
    return at


def _bare(key: str) -> Pair:
    name, value = (key[2:], "off") if key.startswith("no") else (key, "on")
    # `delay` would read as the opposite of what it meant, so QEMU names its successor.
    advice = f"{name}={value}"
    if name == "delay":
        advice = f"nodelay={'on' if value == 'off' else 'off'}"
    return Pair(
        name,
        value,
        f"short-form boolean option '{key}' deprecated\nPlease use {advice} instead",
    )
