"""Strings as QEMU keeps them: modified UTF-8, in which NUL is the two bytes C0 80.

QEMU: util/unicode.c, qobject/json-parser.c (parse_string)

Here they are Python strings. QEMU refuses code points that Python keeps: surrogates,
the two last of each plane, and U+FDD0 to U+FDEF.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"} | {c: c for c in "\"'\\/"}
_INVALID = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)
_HEX = rb"[0-9a-fA-F]"
_PIECE = re.compile(
    rb"(?P<plain>[^\\]+)"
    rb"|\\u(?P<lead>[dD][89abAB]" + _HEX + rb"{2})\\u(?P<trail>[dD][c-fC-F]" + _HEX + rb"{2})"
    rb"|\\u(?P<one>" + _HEX + rb"{4})"
    rb"|\\(?P<escape>.)",
    re.DOTALL,
)
# What QEMU takes for one sequence, valid or not: a lead byte and what it asks for of
# the continuation bytes that are there.
_SEQUENCE = re.compile(
    rb"[\x00-\x7f]+|[\xc0-\xdf][\x80-\xbf]?|[\xe0-\xef][\x80-\xbf]{0,2}"
    rb"|[\xf0-\xf7][\x80-\xbf]{0,3}|[\xf8-\xfb][\x80-\xbf]{0,4}|[\xfc\xfd][\x80-\xbf]{0,5}"
    rb"|[\x80-\xbf\xfe\xff]"
)


def unquote(token: bytes) -> str:
    """Return the value of a quoted string token. Raises ValueError in QEMU's words."""
    body = token[1:-1]
    if b"\\" not in body:
        return _plain(body)
    return "".join(_pieces(token, body))


def readable(raw: bytes) -> str:
    """Return bytes of a client as text for an error message; what is not UTF-8 becomes U+FFFD.

    QEMU prints them as a C string: a NUL ends it.
    """
    parts = []
    for sequence in _SEQUENCE.findall(raw.partition(b"\0")[0]):
        try:
            parts.append(_plain(sequence))
        except ValueError:
            parts.append("\ufffd")
    return "".join(parts)


def _plain(raw: bytes) -> str:
    if raw.isascii():
        return raw.decode("ascii")
    try:
        text = raw.replace(b"\xc0\x80", b"\0").decode()
    except UnicodeDecodeError:
        raise ValueError("invalid UTF-8 sequence in string") from None
    if _INVALID.search(text):
        raise ValueError("invalid UTF-8 sequence in string")
    return text


def _pieces(token: bytes, body: bytes) -> Iterator[str]:
    for piece in _PIECE.finditer(body):
        kind = piece.lastgroup
        if kind == "plain":
            yield _plain(piece[0])
        elif kind == "escape" and piece[0] != b"\\u":
            yield _simple(piece[0])
        else:
            code = -1 if kind == "escape" else _code_point(piece)
            if code < 0 or _INVALID.match(chr(code)):
                # QEMU shows six bytes even where the string ends earlier: its closing
                # quote may be among them.
                shown = piece[0] if kind == "trail" else token[piece.start() + 1 :][:6]
                raise ValueError(f"{readable(shown)} is not a valid Unicode character")
            yield chr(code)


def _simple(escape: bytes) -> str:
    char = _SIMPLE.get(chr(escape[1]))
    if char is None:
        raise ValueError("invalid escape sequence in string")
    return char


def _code_point(piece: re.Match[bytes]) -> int:
    if piece["one"] is not None:
        return int(piece["one"], 16)
    high, low = int(piece["lead"], 16) & 0x3FF, int(piece["trail"], 16) & 0x3FF
    return 0x10000 + (high << 10) + low
