"""QEMU's streaming JSON parser: bytes in, values and syntax errors out.

QEMU: qobject/json-streamer.c

Values need no separator and may be cut anywhere; a byte that fits no token resets
everything.

Nearly all input is plain: whole objects in ASCII without unicode escapes. That is read
by Python's own C scanner. Whatever it refuses, or would read otherwise than QEMU, goes
to the exact lexer; feeding the same input byte by byte always does, so a test shows
that both agree.
"""

from __future__ import annotations

import re
from json import JSONDecoder, scanner
from typing import TYPE_CHECKING, Any, NoReturn

from qemu_sim.wire.json_error import JsonError, Position
from qemu_sim.wire.json_number import integer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qemu_sim.wire.json_lexer import JsonLexer, Token
    from qemu_sim.wire.json_message import Message7, Message11

__all__ = ["JsonError", "JsonStream", "Version"]

Version = tuple[int, ...]

# Errors carry a position and come at once. Seen in 11.1; 7.2 does neither.
_ERRORS_AT_ONCE = (11,)
# Openers in one chunk up to which the scanner is trusted: far below both Python's
# recursion limit and QEMU's own. A shorter chunk cannot hold more.
_FAST_OPENERS = 200
_FAST_SIZE = 1 << 20  # cannot reach the limit of tokens
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonStream:
    """The input of one connection."""

    def __init__(self, version: Version) -> None:
        """Begin at line 1; `version` is the QEMU to imitate, such as (11, 1, 3)."""
        self._errors_at_once = version >= _ERRORS_AT_ONCE
        self._position = Position()
        self._lexer: JsonLexer | None = None
        self._message: Message7 | Message11 | None = None

    def receive(self, data: bytes) -> list[Any]:
        """Return the values, or `JsonError`, that `data` completes, in order."""
        items: list[Any] = []
        if self._message is None and (self._lexer is None or self._lexer.idle):
            data = self._scan(data, items)
        if data:
            for token in self._tokens(data):
                message = self._message or self._begin()
                self._message = None if message.take(token, items) else message
        return items

    def _tokens(self, data: bytes) -> Iterator[Token]:
        if self._lexer is None:
            from qemu_sim.wire.json_lexer import JsonLexer  # noqa: PLC0415  rarely needed

            self._lexer = JsonLexer(self._position, recovers_from_oversize=self._errors_at_once)
        return self._lexer.feed(data)

    def _begin(self) -> Message7 | Message11:
        from qemu_sim.wire import json_message  # noqa: PLC0415  rarely needed

        return json_message.Message11() if self._errors_at_once else json_message.Message7()

    def _scan(self, data: bytes, items: list[Any]) -> bytes:
        """Read leading plain objects from `data`; return what is left for the lexer."""
        if len(data) > _FAST_OPENERS and not _is_shallow(data):
            return data
        if not data.isascii() or b"\\u" in data:
            return data
        text = data.decode("ascii")
        at, end = _end_of_space(text, 0), len(text)
        while at < end and text[at] == "{":
            try:
                value, at = _SCAN(text, at)
            except (ValueError, StopIteration, RecursionError):
                break
            items.append(value)
            at = _end_of_space(text, at)
        self._position.advance(data[:at])
        return data[at:]


def _end_of_space(text: str, at: int) -> int:
    if at == len(text) or text[at] == "{":  # nearly always
        return at
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _is_shallow(data: bytes) -> bool:
    """Whether no value in `data` can come near a limit."""
    return len(data) <= _FAST_SIZE and data.count(b"{") + data.count(b"[") <= _FAST_OPENERS


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def _float(text: str) -> float:
    if text.lstrip("-")[:2] in ("0e", "0E"):
        raise ValueError("QEMU's zero takes no exponent")
    return float(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_SCAN = scanner.make_scanner(
    # It takes any object with a decoder's attributes; only its own type is declared.
    JSONDecoder(  # type: ignore[arg-type]
        object_pairs_hook=_unique,
        parse_int=integer,
        parse_float=_float,
        parse_constant=_no_constant,
    )
)
