"""Which of several members QEMU finds unexpected first.

QEMU: qapi/qobject-input-visitor.c (qobject_input_push, qobject_input_check_struct)
GLib: glib/ghash.c

The input visitor copies an object's member names into a GHashTable, removes what
the type knows, and names the first one left in table order. That order depends on
GLib's hash, its probing, and how the table grew; all three are repeated here.
"""

from __future__ import annotations

from collections.abc import Iterable

_WORD = 0xFFFFFFFF
_SMALLEST = 3  # a table has at least 2**3 slots
# The largest prime below each power of two: what GLib reduces hashes by.
_PRIMES = (
    1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521,
    131071, 262139, 524287, 1048573,
)  # fmt: skip
_REMOVED = "\0removed"  # a slot that was in use; no member name holds a NUL there


def first_left(names: Iterable[str], known: Iterable[str]) -> str:
    """Name the member that QEMU complains about.

    `names` are all members in the order of their insertion, `known` those that were
    consumed, in that order. At least one must be left.
    """
    table = _NameTable()
    for name in names:
        table.insert(name)
    for name in known:
        table.remove(name)
    return next(slot for slot in table.slots if slot is not None and slot != _REMOVED)


def ordered(names: Iterable[str]) -> list[str]:
    """Return the names in the order in which a table that got them one by one lists them."""
    table = _NameTable()
    for name in dict.fromkeys(names):
        table.insert(name)
    return [slot for slot in table.slots if slot is not None]


def _string_hash(name: str) -> int:
    """Hash as g_str_hash does: times 33, plus each byte as a signed char."""
    value = 5381
    for byte in name.encode("utf-8", "surrogatepass"):
        value = value * 33 + (byte ^ 0x80) - 0x80 & _WORD
    return max(value, 2)  # 0 and 1 mark free and removed slots


class _NameTable:
    """A GHashTable used as a set of strings."""

    def __init__(self) -> None:
        self._prime = _PRIMES[_SMALLEST]
        self.slots: list[str | None] = [None] * (1 << _SMALLEST)
        self._count = 0
        self._occupied = 0  # slots in use or removed

    def insert(self, name: str) -> None:
        """Add a name that is not there yet."""
        self.slots[self._find(name)] = name
        self._count += 1
        self._occupied += 1
        self._maybe_resize()

    def remove(self, name: str) -> None:
        """Remove a name that is there."""
        self.slots[self._find(name)] = _REMOVED
        self._count -= 1
        self._maybe_resize()

    def _home(self, name: str) -> int:
        return (_string_hash(name) * 11 & _WORD) % self._prime

    def _find(self, name: str) -> int:
        index, step = self._home(name), 0
        while self.slots[index] is not None and self.slots[index] != name:
            step += 1
            index = index + step & len(self.slots) - 1
        return index

    def _maybe_resize(self) -> None:
        size = len(self.slots)
        sparse = size > self._count * 4 and size > 1 << _SMALLEST
        if sparse or size <= self._occupied + self._occupied // 16:
            self._resize()

    def _resize(self) -> None:
        shift = max(_SMALLEST, int(self._count * 1.333).bit_length())
        old_size = len(self.slots)
        self._prime = _PRIMES[shift]
        self.slots += [None] * ((1 << shift) - old_size)
        self._move(old_size, 1 << shift)
        del self.slots[1 << shift :]
        self._occupied = self._count

    def _move(self, old_size: int, size: int) -> None:
        """Rehash in place: who is in the way is carried on to its own new slot."""
        settled: set[int] = set()
        for origin in range(old_size):
            if origin in settled:
                continue
            carried, self.slots[origin] = self.slots[origin], None
            while carried is not None and carried != _REMOVED:
                index, step = self._home(carried), 0
                while index in settled:
                    step += 1
                    index = index + step & size - 1
                settled.add(index)
                carried, self.slots[index] = self.slots[index], carried
