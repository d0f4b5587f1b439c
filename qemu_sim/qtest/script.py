"""One line of the qtest protocol in, one line out.

QEMU: system/qtest.c (qtest_process_command)

Guest RAM is real; what lies outside reads as zero and forgets what is written. No device
here has I/O ports, so each of them reads as an idle bus does, all ones, and swallows what
is written. Nothing here raises an interrupt or sets a timer: the clock moves only by as
much as it is told, and an intercepted interrupt never comes.

QEMU aborts when a command lacks a word or has a bad number; here that is a FAIL.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import partial
from typing import Protocol

from qemu_sim.virtio.memory import GuestMemory

_WIDTHS = {"b": 1, "w": 2, "l": 4, "q": 8}
_NUMBER = re.compile(r"([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)")
_UINT64 = 1 << 64
_INT64 = 1 << 63
_HEX_PREFIX = 2
_INTERCEPTED = "IRQ intercept already enabled"


class Refused(Exception):
    """The answer is FAIL; the message follows it."""


class Guest(Protocol):
    """What a script needs of a machine."""

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""

    def has_device(self, path: str) -> bool:
        """Whether there is a device at that QOM path."""


class Script:
    """The state between two commands: the virtual clock and the intercepted device.

    `clocked` says that the clock may be moved, which needs the accelerator qtest.
    """

    def __init__(self, guest: Guest, *, clocked: bool) -> None:
        self._guest = guest
        self._clock = 0
        self._intercepted: str | None = None
        self._commands: dict[str, Callable[[list[str]], str]] = {
            "endianness": lambda _: "little",
            "read": self._read,
            "write": self._write,
            "memset": self._memset,
            "b64read": self._b64read,
            "b64write": self._b64write,
            "irq_intercept_in": self._intercept,
            "irq_intercept_out": self._intercept,
        }
        for letter, width in _WIDTHS.items():
            self._commands[f"read{letter}"] = partial(self._load, width)
            self._commands[f"write{letter}"] = partial(self._store, width)
        for letter in "bwl":
            self._commands[f"in{letter}"] = partial(_in, _WIDTHS[letter])
            self._commands[f"out{letter}"] = _out
        if clocked:
            self._commands["clock_step"] = self._clock_step
            self._commands["clock_set"] = self._clock_set

    def answer(self, line: str) -> str:
        """Obey `line`, which has no line end, and return the answer, which has none either."""
        name, *words = line.split(" ")
        command = self._commands.get(name)
        if command is None:
            return f"FAIL Unknown command '{name}'"
        try:
            return f"OK {command(words)}".rstrip()
        except Refused as refused:
            return f"FAIL {refused}"

    # RAM.

    def _load(self, width: int, words: list[str]) -> str:
        data = self._peek(_number(words, 0), width)
        return f"0x{int.from_bytes(data, 'little'):016x}"

    def _store(self, width: int, words: list[str]) -> str:
        value = _number(words, 1) % (1 << 8 * width)
        self._poke(_number(words, 0), value.to_bytes(width, "little"))
        return ""

    def _read(self, words: list[str]) -> str:
        return f"0x{self._peek(*self._range(words)).hex()}"

    def _b64read(self, words: list[str]) -> str:
        return base64.b64encode(self._peek(*self._range(words))).decode()

    def _write(self, words: list[str]) -> str:
        address, length = self._range(words)
        digits = _word(words, 2)
        if not digits.startswith("0x") or len(digits) == _HEX_PREFIX:
            raise Refused("Invalid argument size")
        try:
            data = bytes.fromhex(digits[_HEX_PREFIX:])
        except ValueError:
            raise Refused(f"'{digits}' is not hexadecimal") from None
        # What the text does not say is zero.
        self._poke(address, data[:length].ljust(length, b"\0"))
        return ""

    def _b64write(self, words: list[str]) -> str:
        address, length = self._range(words)
        try:
            data = base64.b64decode(_word(words, 2), validate=True)
        except (binascii.Error, ValueError):
            raise Refused("b64write: bad base64") from None
        self._poke(address, data[:length])
        return ""

    def _memset(self, words: list[str]) -> str:
        address, length = self._range(words)
        self._poke(address, bytes([_number(words, 2) & 0xFF]) * length)
        return ""

    def _range(self, words: list[str]) -> tuple[int, int]:
        """Return address and length; no more at once than there is RAM."""
        length = _number(words, 1)
        if length > self._guest.memory.size:
            raise Refused(f"{length} bytes are more than there is RAM")
        return _number(words, 0), length

    def _peek(self, address: int, length: int) -> bytes:
        inside = self._inside(address, length)
        found = self._guest.memory.read(address, inside) if inside else b""
        return found.ljust(length, b"\0")

    def _poke(self, address: int, data: bytes) -> None:
        inside = self._inside(address, len(data))
        if inside:
            self._guest.memory.write(address, data[:inside])

    def _inside(self, address: int, length: int) -> int:
        """Return how many of the bytes at `address` are RAM."""
        return max(0, min(length, self._guest.memory.size - address))

    # Time and interrupts.

    def _clock_step(self, words: list[str]) -> str:
        if not words:
            raise Refused(
                "cannot advance clock to the next deadline because there is no pending deadline"
            )
        return self._advance(self._clock + _signed(_number(words, 0)))

    def _clock_set(self, words: list[str]) -> str:
        now = _signed(_number(words, 0))
        if now <= self._clock:
            raise Refused(str(self._clock))
        return self._advance(now)

    def _advance(self, now: int) -> str:
        if not self._clock < now < _INT64:
            raise Refused("could not advance time")
        self._clock = now
        return str(now)

    def _intercept(self, words: list[str]) -> str:
        path = _word(words, 0)
        if not self._guest.has_device(path):
            raise Refused("Unknown device")
        if self._intercepted not in (None, path):
            raise Refused(_INTERCEPTED)
        self._intercepted = path
        return ""


def _in(width: int, words: list[str]) -> str:
    _number(words, 0)
    return f"0x{(1 << 8 * width) - 1:04x}"


def _out(words: list[str]) -> str:
    _number(words, 0)
    _number(words, 1)
    return ""


def _word(words: list[str], at: int) -> str:
    if at >= len(words):
        raise Refused("an argument is missing")
    return words[at]


def _number(words: list[str], at: int) -> int:
    """Return an argument as strtoull(…, 0) reads it: decimal, hexadecimal or octal."""
    text = _word(words, at)
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise Refused(f"'{text}' is not a number")
    digits = found[2]
    try:
        number = int(digits, 8 if digits.isdigit() and digits.startswith("0") else 0)
    except ValueError:  # an 8 or 9 in an octal number
        raise Refused(f"'{text}' is not a number") from None
    if number >= _UINT64:
        raise Refused(f"'{text}' is not a number")
    return -number % _UINT64 if found[1] == "-" else number


def _signed(number: int) -> int:
    return number - _UINT64 if number >= _INT64 else number
