"""Writes JSON values as QEMU does: ASCII, QDict order, doubles in full.

QEMU: qobject/qjson.c, qobject/json-writer.c

Every name written before and after a member depends only on the object's keys, so it
is worked out once for each set of keys; objects of one kind then cost one look-up.
A long answer that is always the same is a `Lasting` one, and is written once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

from qemu_sim.key_order import in_key_order

_INDENT = "    "
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SPECIAL = re.compile(r"[^ !#-\[\]-~]")
_BEYOND_BMP = 0x10000
# Objects with more members are rarely met twice, and would fill the cache for nothing.
_MAX_CACHED_KEYS = 64

# Texts before each value, keys in the same order, text that closes the object.
_Layout = tuple[list[str], list[str], str]
_Steps = Iterator[tuple[str, Any]]  # text before a value, value


class Lasting(list[Any]):
    """A list that nobody changes any more, nor what is in it."""

    @cached_property
    def line(self) -> str:
        """Its JSON on one line."""
        return text(list(self))


def quote(text: str) -> str:
    """Return `text` as a JSON string."""
    if _SPECIAL.search(text):
        text = _SPECIAL.sub(_escape, text)
    return f'"{text}"'


def line(value: Any) -> bytes:
    """Return `value` as QMP sends it, on one line."""
    return (text(value) + "\r\n").encode("ascii")


def pretty_lines(value: Any) -> bytes:
    """Return `value` as QMP sends it with `pretty=on`, one member a line."""
    return (text(value, pretty=True) + "\n").replace("\n", "\r\n").encode("ascii")


def text(value: Any, *, pretty: bool = False) -> str:
    """Return `value` as JSON. Raises TypeError for what JSON has no word for."""
    parts: list[str] = []
    outer: list[tuple[_Steps, str]] = []  # containers half written, and what closes them
    steps: _Steps = iter((("", value),))
    closing = ""
    while True:
        for before, item in steps:
            parts.append(before)
            kind = type(item)
            if kind is str:
                parts.append(quote(item))
            elif kind is bool:
                parts.append("true" if item else "false")
            elif kind is dict or kind is list or (kind is Lasting and pretty):
                outer.append((steps, closing))
                steps, closing = _walk(item, len(outer) if pretty else 0)
                break
            else:
                parts.append(item.line if kind is Lasting else _scalar(item))
        else:
            parts.append(closing)
            if not outer:
                return "".join(parts)
            steps, closing = outer.pop()


def _walk(container: Any, depth: int) -> tuple[_Steps, str]:
    """Return the values of a container with the text before each, and the text after all."""
    if type(container) is dict:
        layout = _layout if len(container) <= _MAX_CACHED_KEYS else _layout.__wrapped__
        befores, keys, closing = layout(tuple(container), depth)
        # As many, always; and to say so takes longer than to begin.
        return zip(befores, map(container.__getitem__, keys)), closing  # noqa: B905
    separator, opening, closing = _spacing(depth)
    if not container:
        return iter(()), f"[{closing}]"
    befores = [separator] * len(container)
    befores[0] = "[" + opening
    return zip(befores, container), closing + "]"  # noqa: B905


@lru_cache(maxsize=1024)
def _layout(keys: tuple[str, ...], depth: int) -> _Layout:
    separator, opening, closing = _spacing(depth)
    if not keys:
        return [], [], f"{{{closing}}}"
    ordered = in_key_order(keys)
    befores = [f"{separator}{quote(key)}: " for key in ordered]
    befores[0] = "{" + opening + befores[0].removeprefix(separator)
    return befores, ordered, closing + "}"


def _spacing(depth: int) -> tuple[str, str, str]:
    """Text between two members, before the first, after the last; depth 0 is one line."""
    if not depth:
        return ", ", "", ""
    inner = "\n" + _INDENT * depth
    return "," + inner, inner, "\n" + _INDENT * (depth - 1)


def _scalar(value: Any) -> str:
    """Write what is neither str nor bool; enumerations are their values."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quote(str.__str__(value))
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return f"{value:.17g}"
    raise TypeError(f"not a JSON value: {value!r}")


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code < _BEYOND_BMP:
        return f"\\u{code:04X}"
    code -= _BEYOND_BMP
    return f"\\u{0xD800 + (code >> 10):04X}\\u{0xDC00 + (code & 0x3FF):04X}"
