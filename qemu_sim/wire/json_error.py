"""What a syntax error says: where it is, and what it is.

QEMU: qobject/json-lexer.c, qobject/json-parser.c
"""

from typing import NamedTuple


class JsonError(NamedTuple):
    """A syntax error in place of a value; `text` is the reply's `desc`."""

    text: str


class Position:
    """Line and column of the next byte, counted from 1 since the connection began."""

    __slots__ = ("column", "line")

    def __init__(self) -> None:
        self.line = 1
        self.column = 1

    def advance(self, data: bytes) -> None:
        """Step over `data`."""
        lines = data.count(b"\n")
        if lines:
            self.line += lines
            self.column = len(data) - data.rindex(b"\n")
        else:
            self.column += len(data)
