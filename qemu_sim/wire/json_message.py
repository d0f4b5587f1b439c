"""One value on its way in: when it ends, what is too much, and when its error is told.

QEMU: qobject/json-streamer.c

A value ends where its brackets balance, or where one kind is closed more often than
opened. 7.2 tells the first error there, without a position. 11 tells it as soon as the
bad token is complete, with its line and column, and swallows the rest in silence.
"""

from __future__ import annotations

from typing import Any

from qemu_sim.wire import json_lexer, json_string
from qemu_sim.wire.json_error import JsonError
from qemu_sim.wire.json_value import WORDING_7, WORDING_11, JsonValue

MAX_TOKENS = 2 << 20  # qobject/json-streamer.c, as the other two
MAX_SIZE = 64 << 20
MAX_NESTING = 1 << 10
_MAX_TEXT = 1023  # QEMU formats most messages in a buffer of 1024 bytes
_BRACES = {"{": 1, "}": -1}
_BRACKETS = {"[": 1, "]": -1}


class _Message:
    """The tokens of one value so far."""

    wording = WORDING_7

    def __init__(self) -> None:
        self._value = JsonValue(self.wording)
        self._error: JsonError | None = None
        self._tokens = self._size = self._braces = self._brackets = 0

    def _count(self, token: json_lexer.Token) -> str | None:
        """Count `token`; return the limit that it passes, if any."""
        self._braces += _BRACES.get(token.kind, 0)
        self._brackets += _BRACKETS.get(token.kind, 0)
        self._tokens += 1
        self._size += len(token.text)
        if self._size + 1 > MAX_SIZE:
            return "JSON token size limit exceeded"
        if self._tokens > MAX_TOKENS:
            return "JSON token count limit exceeded"
        if self._braces + self._brackets > MAX_NESTING:
            return "JSON nesting depth limit exceeded"
        return None

    def _ended(self) -> bool:
        braces, brackets = self._braces, self._brackets
        return braces < 0 or brackets < 0 or not (braces or brackets)


class Message7(_Message):
    """A value as 7.2 reads it."""

    def take(self, token: json_lexer.Token, items: list[Any]) -> bool:
        """Add `token`, and to `items` what it completes; return whether the value ended."""
        if token.kind is json_lexer.STRAY:
            items.append(JsonError(f"JSON parse error, {json_string.readable(_stray(token))}"))
            return True
        limit = self._count(token)
        if limit:
            items.append(JsonError(limit))
            return True
        if not self._error:
            self._push(token)
        if not self._ended():
            return False
        items.append(self._error or self._value.result)
        return True

    def _push(self, token: json_lexer.Token) -> None:
        try:
            self._value.push(token)
        except ValueError as error:
            self._error = JsonError(f"JSON parse error, {str(error)[:_MAX_TEXT]}")


class Message11(_Message):
    """A value as 11 reads it."""

    wording = WORDING_11

    def take(self, token: json_lexer.Token, items: list[Any]) -> bool:
        """Add `token`, and to `items` what it completes; return whether the value ended."""
        failed = self._error is not None
        if token.kind is json_lexer.STRAY:
            if not failed:
                items.append(_at(token, json_string.readable(_stray(token)[:_MAX_TEXT])))
            return True
        limit = self._count(token)
        if not failed:
            self._error = JsonError(limit) if limit else self._push(token)
            if self._error:
                items.append(self._error)
        if not self._ended():
            return False
        if not self._error:
            items.append(self._value.result)
        return True

    def _push(self, token: json_lexer.Token) -> JsonError | None:
        try:
            self._value.push(token)
        except ValueError as error:
            return _at(token, str(error)[:_MAX_TEXT])
        return None


def _stray(token: json_lexer.Token) -> bytes:
    """Bytes of a message about a token that is none. A NUL ends it, as in any C string."""
    return b"stray '" + token.text.partition(b"\0")[0] + b"'"


def _at(token: json_lexer.Token, text: str) -> JsonError:
    return JsonError(f"{token.line}:{token.column}: JSON parse error, {text}")
