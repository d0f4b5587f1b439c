"""Reads the arguments of one HMP line as the command's signature says.

QEMU: monitor/hmp.c (monitor_parse_arguments, get_str)
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from qemu_sim.commands.hmp.expression import evaluate
from qemu_sim.errors import QMPError
from qemu_sim.qapi.opts import Group, Opts
from qemu_sim.qapi.sizes import parse_size

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_SIZE = re.compile(r"(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]*)?)([bBkKmMgGtTpPeE]?)")
_FORMAT = re.compile(r"/([0-9]*)([oduxicbhwgL]*)")
_WIDTHS = {"b": 1, "h": 2, "w": 4, "g": 8, "L": 8}
_WORDS = {"F": "filename", "B": "block device name", "s": "string"}
_SWITCH = {"on": True, "off": False}
_IMPLIED = {"device": "driver", "netdev": "type"}
_INT63 = 1 << 63
_MIB = 20


class Format(NamedTuple):
    """How many values are shown, and how: `kind` is x, d, ... and `size` in bytes.

    The size is None where the kind has no default for it.
    """

    number: int = 1
    kind: str = "x"
    size: int | None = 4


def read(shown: str, signature: str, text: str) -> dict[str, Any]:
    """Return the arguments by name; what may be missing, and is, has no entry.

    `shown` is the command's name in errors. Raises QMPError in QEMU's words.
    """
    line = _Line(shown, text)
    values: dict[str, Any] = {}
    parts = signature.split(",") if signature else []
    for number, part in enumerate(parts):
        key, _, kind = part.partition(":")
        value = line.take(key, kind, parts[number + 1 :])
        if value is not None:
            values[key] = value
    if line.rest.strip():
        raise QMPError(f"{shown}: extraneous characters at the end of line")
    return values


class _Line:
    def __init__(self, shown: str, text: str) -> None:
        self._shown = shown
        self.rest = text

    def take(self, key: str, kind: str, later: list[str]) -> Any:
        """Read one argument from the rest; `later` are the parts of the signature behind it."""
        self.rest = self.rest.lstrip()
        if kind.endswith("?") and not self.rest:
            return None
        if kind[0] == "-":
            return self._flag(kind[1], later, has_value=kind.endswith("s"))
        if kind[0] == "O":
            return self._options(key)
        if kind[0] in _WORDS:
            return self._word(f"{self._shown}: {_WORDS[kind[0]]} expected")
        if kind[0] in "ilM":
            return self._number(kind)
        readers = {"b": self._switch, "S": self._everything, "/": self._format, "o": self._size}
        return readers[kind[0]]()

    def _word(self, complaint: str) -> str:
        if not self.rest.startswith('"'):
            word, *rest = self.rest.split(maxsplit=1) or [""]
            if not word:
                raise QMPError(complaint)
            self.rest = "".join(rest)
            return word
        found = _QUOTED.match(self.rest)
        if found is None or any(each not in _ESCAPES for each in _ESCAPE.findall(found[1])):
            raise QMPError(complaint)
        self.rest = self.rest[found.end() :]
        return _ESCAPE.sub(lambda each: _ESCAPES[each[1]], found[1])

    def _flag(self, letter: str, later: list[str], *, has_value: bool) -> bool | str | None:
        if not self.rest.startswith("-"):
            return None
        given = self.rest[1:2]
        if given != letter:
            if any(f"-{given}" in part for part in later):
                return None
            raise QMPError(f"{self._shown}: unsupported option -{given}")
        self.rest = self.rest[2:]
        if not has_value:
            return True
        self.rest = self.rest.lstrip()
        return self._word(f"{self._shown}: value expected for -{letter}")

    def _switch(self) -> bool:
        word, *rest = self.rest.split(maxsplit=1) or [""]
        if word not in _SWITCH:
            raise QMPError("Expected 'on' or 'off'")
        self.rest = "".join(rest)
        return _SWITCH[word]

    def _everything(self) -> str:
        if not self.rest:
            raise QMPError(f"{self._shown}: string expected")
        value, self.rest = self.rest, ""
        return value

    def _options(self, key: str) -> Opts:
        text = self._word("") if self.rest else ""
        try:
            return Group(key, _IMPLIED[key]).parse(text, lambda _warning: None)
        except QMPError:
            # QEMU says what is wrong with them on its own stderr.
            raise QMPError("") from None

    def _format(self) -> Format:
        found = _FORMAT.match(self.rest)
        if found is None:
            return Format()
        self.rest = self.rest[found.end() :]
        if self.rest and not self.rest[0].isspace():
            raise QMPError(f"invalid char in format: '{self.rest[0]}'")
        kinds = [each for each in found[2] if each not in _WIDTHS]
        sizes = [_WIDTHS[each] for each in found[2] if each in _WIDTHS]
        kind = kinds[-1] if kinds else "x"
        size = sizes[-1] if sizes else None if kind == "i" else 4
        return Format(int(found[1] or 1), kind, size)

    def _size(self) -> int:
        found = _SIZE.match(self.rest)
        if found is None:
            raise QMPError("invalid size")
        text = found[0]
        try:
            in_mib = not found[1] and "x" not in text.lower()
            size = parse_size("", f"{text}M" if in_mib else text)
        except QMPError:
            raise QMPError("invalid size") from None
        if "x" in text.lower():
            size <<= _MIB
        if size >= _INT63:
            raise QMPError("invalid size")
        self.rest = self.rest[found.end() :]
        return size

    def _number(self, kind: str) -> int | None:
        if kind.endswith("."):
            if not self.rest.startswith("."):
                return None
            self.rest = self.rest[1:]
        value, self.rest = evaluate(self.rest)
        if kind[0] == "i" and (value >> 32) & 0xFFFFFFFF:
            raise QMPError(f"'{self._shown}' has failed: integer is for 32-bit values")
        if kind[0] != "M":
            return value
        if value < 0:
            raise QMPError("enter a positive value")
        return value << _MIB
