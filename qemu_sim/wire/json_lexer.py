"""Splits a byte stream into JSON tokens, as QEMU's lexer does.

QEMU: qobject/json-lexer.c

It knows more and less than RFC 8259: strings may stand in single quotes, any run of
lower-case letters is a keyword (the grammar decides which exist), a zero takes no
exponent. After a byte that fits nowhere it skips to one that could begin something.

One state is a set of bytes that keep it and a table of those that leave it. The first
are skipped by a regular expression, so long tokens cost no Python code a byte, and the
time stays linear however the input is cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from qemu_sim.wire.json_error import Position

MAX_TOKEN_SIZE = 64 << 20  # qobject/json-lexer.c

STRING = "string"
INTEGER = "integer"
FLOAT = "float"
KEYWORD = "keyword"
STRAY = "stray"  # the bytes so far, the bad one included
OVERSIZE = "oversize"  # longer than MAX_TOKEN_SIZE, whatever it would have become


class Token(NamedTuple):
    """One token; `kind` is a bracket, comma or colon itself, or one of the names above.

    `line` and `column` are those of its first byte, counted from 1 in bytes.
    """

    kind: str
    text: bytes
    line: int
    column: int


class _State(NamedTuple):
    """Where the lexer stands within a token.

    `stay` matches the bytes that change nothing. `moves` lead to another state, or
    complete the token whose kind they name. Any other byte ends the token as `ends`
    without belonging to it; with `ends` None it is an error.
    """

    stay: re.Pattern[bytes]
    moves: Mapping[int, str]
    ends: str | None = None


def _moves(target: str, leaders: bytes) -> dict[int, str]:
    return dict.fromkeys(leaders, target)


_NOTHING = re.compile(rb"")
_DIGITS = re.compile(rb"[0-9]*")
_DIGIT = b"0123456789"
_PRINTABLE = bytes(range(0x20, 0xFE))  # 0xFE and 0xFF never occur in UTF-8: they resynchronise
_RECOVERED = "recovered"

_START = _State(
    re.compile(rb"[ \t\r\n]*"),
    {
        **{byte: chr(byte) for byte in b"{}[]:,"},
        **_moves("double quoted", b'"'),
        **_moves("single quoted", b"'"),
        **_moves("minus", b"-"),
        **_moves("zero", b"0"),
        **_moves("digits", _DIGIT[1:]),
        **_moves("letters", bytes(range(ord("a"), ord("z") + 1))),
    },
)
_RECOVERY = _State(re.compile(rb"[^\x00-\x08\x0a-\x1f\[\]{}:,\xfe\xff]*"), {}, _RECOVERED)
_STATES = {
    "double quoted": _State(
        re.compile(rb'[^\x00-\x1f"\\\xfe\xff]*'),
        {ord("\\"): "double quoted escape", ord('"'): STRING},
    ),
    "double quoted escape": _State(_NOTHING, _moves("double quoted", _PRINTABLE)),
    "single quoted": _State(
        re.compile(rb"[^\x00-\x1f'\\\xfe\xff]*"),
        {ord("\\"): "single quoted escape", ord("'"): STRING},
    ),
    "single quoted escape": _State(_NOTHING, _moves("single quoted", _PRINTABLE)),
    "minus": _State(_NOTHING, {**_moves("digits", _DIGIT), ord("0"): "zero"}),
    "zero": _State(_NOTHING, {**_moves(STRAY, _DIGIT), ord("."): "point"}, INTEGER),
    "digits": _State(_DIGITS, {**_moves("exponent", b"eE"), ord("."): "point"}, INTEGER),
    "point": _State(_NOTHING, _moves("fraction", _DIGIT)),
    "fraction": _State(_DIGITS, _moves("exponent", b"eE"), FLOAT),
    "exponent": _State(
        _NOTHING, {**_moves("exponent digits", _DIGIT), **_moves("exponent sign", b"+-")}
    ),
    "exponent sign": _State(_NOTHING, _moves("exponent digits", _DIGIT)),
    "exponent digits": _State(_DIGITS, {}, FLOAT),
    "letters": _State(re.compile(rb"[a-z]*"), {}, KEYWORD),
}


class JsonLexer:
    """Tokens of one connection's input; remembers a token cut by the end of a chunk."""

    def __init__(self, position: Position, *, recovers_from_oversize: bool) -> None:
        """Begin at `position`, and advance it.

        The rest of a token that is too long is skipped, or else read as something new.
        """
        self._position = position
        self._after_oversize = _RECOVERY if recovers_from_oversize else _START
        self._state = _START
        self._text = bytearray()
        self._begin = (1, 1)
        # QEMU 11 counts a byte twice that both ends something and begins the next token.
        self._twice = 0

    @property
    def idle(self) -> bool:
        """Whether no token is under way."""
        return self._state is _START

    def feed(self, data: bytes) -> Iterator[Token]:
        """Yield the tokens that `data` completes."""
        at, size = 0, len(data)
        while at < size:
            room = MAX_TOKEN_SIZE + 1 - len(self._text)
            end = _end_of_run(self._state, data, at, min(size, at + room))
            if end > at:
                self._stay(data[at:end])
            else:
                kind, end = self._step(data, at)
                if kind is not None:
                    yield Token(kind, bytes(self._text), *self._begin)
                    self._text.clear()
            at = end
            if len(self._text) > MAX_TOKEN_SIZE:
                yield Token(OVERSIZE, bytes(self._text), *self._begin)
                self._text.clear()
                self._state = self._after_oversize

    def _stay(self, run: bytes) -> None:
        """Take bytes that do not change the state: white space, rubbish, or more of a token."""
        if self._state is not _START and self._state is not _RECOVERY:
            self._text += run
        self._twice = 0
        self._position.advance(run)

    def _step(self, data: bytes, at: int) -> tuple[str | None, int]:
        """Move on by the byte at `at`: the kind of token that ended, and where to go on."""
        byte = data[at]
        target = self._state.moves.get(byte)
        if target is None and self._state.ends is not None:
            kind, self._state, self._twice = self._state.ends, _START, 1
            return (None if kind is _RECOVERED else kind), at
        if self._state is _START:
            self._begin = self._position.line, self._position.column + self._twice
        self._text.append(byte)
        self._twice = 0
        self._position.advance(data[at : at + 1])
        if target in _STATES:
            self._state = _STATES[target]
            return None, at + 1
        if target is None or target is STRAY:
            self._state = _RECOVERY
            return STRAY, at + 1
        self._state = _START
        return target, at + 1


def _end_of_run(state: _State, data: bytes, at: int, limit: int) -> int:
    found = state.stay.match(data, at, limit)
    return found.end() if found else at
