"""Builds one JSON value from tokens, a token at a time and without recursion.

QEMU: qobject/json-parser.c

The grammar is the same in all versions. What differs is the words of an error, and
what may stand where a key is expected: up to 10.x any value was read there and then
refused for not being a string.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from qemu_sim.wire import json_lexer, json_string
from qemu_sim.wire.json_number import integer

_KEYWORDS = {b"true": True, b"false": False, b"null": None}


class Wording(NamedTuple):
    """A version's words for what the grammar refuses."""

    key: str
    colon: str
    in_object: str
    in_array: str
    any_value_as_key: bool


WORDING_7 = Wording(
    key="key is not a string in object",
    colon="missing : in object pair",
    in_object="expected separator in dict",
    in_array="expected separator in list",
    any_value_as_key=True,
)
WORDING_11 = Wording(
    key="expecting key",
    colon="expecting ':'",
    in_object="expected ',' or '}'",
    in_array="expected ',' or ']'",
    any_value_as_key=False,
)

# What may come next within a container.
_FIRST, _ITEM, _COLON, _VALUE, _MORE = "first", "item", "colon", "value", "more"


class _Level:
    """One open container and what it waits for."""

    __slots__ = ("container", "expects", "key")

    def __init__(self, container: dict[str, Any] | list[Any]) -> None:
        self.container = container
        self.expects = _FIRST
        self.key = ""


class JsonValue:
    """One value under construction. Errors are ValueErrors in QEMU's words."""

    def __init__(self, wording: Wording) -> None:
        """Start before the first token."""
        self._wording = wording
        self._open: list[_Level] = []
        self.result: Any = None

    def push(self, token: json_lexer.Token) -> None:
        """Take the next token; once the brackets balance, the value is in `result`."""
        if not self._open:
            self._begin_value(token)
            return
        level = self._open[-1]
        if isinstance(level.container, dict):
            self._push_in_object(level, token)
        else:
            self._push_in_array(level, token)

    def _push_in_array(self, level: _Level, token: json_lexer.Token) -> None:
        kind = token.kind
        if kind == "]" and level.expects in (_FIRST, _MORE):
            self._close()
        elif level.expects is not _MORE:
            self._begin_value(token)
        elif kind == ",":
            level.expects = _ITEM
        else:
            raise ValueError(self._wording.in_array)

    def _push_in_object(self, level: _Level, token: json_lexer.Token) -> None:
        kind, expects = token.kind, level.expects
        if kind == "}" and expects in (_FIRST, _MORE):
            self._close()
        elif expects in (_FIRST, _ITEM):
            self._begin_key(token)
        elif expects is _VALUE:
            self._begin_value(token)
        elif expects is _COLON:
            if kind != ":":
                raise ValueError(self._wording.colon)
            level.expects = _VALUE
        elif kind == ",":
            level.expects = _ITEM
        else:
            raise ValueError(self._wording.in_object)

    def _begin_key(self, token: json_lexer.Token) -> None:
        if token.kind != json_lexer.STRING and not self._wording.any_value_as_key:
            raise ValueError(self._wording.key)
        self._begin_value(token)

    def _begin_value(self, token: json_lexer.Token) -> None:
        if token.kind == "{":
            self._open.append(_Level({}))
        elif token.kind == "[":
            self._open.append(_Level([]))
        else:
            self._put(_scalar(token))

    def _close(self) -> None:
        self._put(self._open.pop().container)

    def _put(self, value: Any) -> None:
        """Give a complete value to the container it stands in."""
        if not self._open:
            self.result = value
            return
        level = self._open[-1]
        if isinstance(level.container, list):
            level.container.append(value)
            level.expects = _MORE
        elif level.expects is _VALUE:
            if level.key in level.container:
                raise ValueError("duplicate key")
            level.container[level.key] = value
            level.expects = _MORE
        elif isinstance(value, str):
            level.key = value
            level.expects = _COLON
        else:
            raise ValueError(self._wording.key)


def _scalar(token: json_lexer.Token) -> Any:
    kind, text = token.kind, token.text
    if kind == json_lexer.STRING:
        return json_string.unquote(text)
    if kind == json_lexer.INTEGER:
        return integer(text.decode("ascii"))
    if kind == json_lexer.FLOAT:
        return float(text)
    if kind != json_lexer.KEYWORD:
        raise ValueError("expecting value")
    if text not in _KEYWORDS:
        raise ValueError(f"invalid keyword '{text.decode('ascii')}'")
    return _KEYWORDS[text]
