"""Arithmetic that a person may write for a number: `0x1000 + 4 * (2 - 'a')`.

QEMU: monitor/hmp.c (get_expr)

The result is a signed number of 64 bits. `&`, `|` and `^` bind like each other, closer than `+`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from qemu_sim.errors import QMPError

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
_BITS = 64


def evaluate(text: str) -> tuple[int, str]:
    """Return the value that `text` begins with, and what follows. Raises QMPError."""
    reading = _Reading(text)
    return reading.sum(), reading.rest


def signed(value: int, bits: int = _BITS) -> int:
    """Return `value` as C keeps it in so many bits."""
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


class _Reading:
    def __init__(self, text: str) -> None:
        self.rest = text.lstrip()

    def sum(self) -> int:
        return self._chain("+-", self._logic)

    def _logic(self) -> int:
        return self._chain("&|^", self._product)

    def _product(self) -> int:
        return self._chain("*/%", self._unary)

    def _chain(self, operators: str, operand: Callable[[], int]) -> int:
        value = operand()
        while self.rest[:1] and self.rest[0] in operators:
            operator = self._next()
            value = signed(_apply(operator, value, operand()))
        return value

    def _next(self) -> str:
        """Take one character, and the space after it."""
        first, self.rest = self.rest[0], self.rest[1:].lstrip()
        return first

    def _unary(self) -> int:
        match self.rest[:1]:
            case "":
                raise QMPError("unexpected end of expression")
            case "+":
                self._next()
                return self._unary()
            case "-":
                self._next()
                return signed(-self._unary())
            case "~":
                self._next()
                return ~self._unary()
            case "(":
                return self._group()
            case "'":
                return self._character()
            case "$":
                raise QMPError("unknown register")  # no CPU here has one
        return self._number()

    def _group(self) -> int:
        self._next()
        value = self.sum()
        if not self.rest.startswith(")"):
            raise QMPError("')' expected")
        self._next()
        return value

    def _character(self) -> int:
        if len(self.rest) == 1:
            raise QMPError("character constant expected")
        value = ord(self.rest[1])
        self.rest = self.rest[2:]
        if not self.rest.startswith("'"):
            raise QMPError("missing terminating ' character")
        self._next()
        return value

    def _number(self) -> int:
        found = _NUMBER.match(self.rest)
        if found is None:
            raise QMPError(f"invalid char '{self.rest[0]}' in expression")
        digits = found[0]
        value = int(digits, 8 if digits.startswith("0") and digits.isdigit() else 0)
        if value >= 1 << _BITS:
            raise QMPError("number too large")
        self.rest = self.rest[found.end() :].lstrip()
        return signed(value)


def _apply(operator: str, left: int, right: int) -> int:
    if operator in "/%":
        if right == 0:
            raise QMPError("division by zero")
        quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
        return quotient if operator == "/" else left - quotient * right
    by_operator: dict[str, Callable[[int, int], int]] = {
        "+": int.__add__,
        "-": int.__sub__,
        "*": int.__mul__,
        "&": int.__and__,
        "|": int.__or__,
        "^": int.__xor__,
    }
    return by_operator[operator](left, right)
