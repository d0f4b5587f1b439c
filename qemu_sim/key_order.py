"""The order in which QEMU walks the members of a JSON object.

QEMU: qobject/qdict.c (tdb_hash, qdict_first, qdict_next)

A QDict has 512 buckets and is walked bucket by bucket; within one, the member that
came last is first.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

_WORD = 0xFFFFFFFF
_BUCKETS = 512


@lru_cache(maxsize=4096)
def bucket(name: str) -> int:
    """Bucket 0..511 of a member's name (hashed as UTF-8)."""
    # NUL is C0 80 inside QEMU, whose strings end at a zero byte.
    data = name.encode("utf-8", "surrogatepass").replace(b"\0", b"\xc0\x80")
    value = 0x238F13AF * len(data)
    for position, byte in enumerate(data):
        value += byte << (5 * position % 24)
    return ((1103515243 * value + 12345) & _WORD) % _BUCKETS


def in_key_order(names: Iterable[str]) -> list[str]:
    """Names in the order QEMU walks them; `names` is the order of insertion."""
    newest_first = list(names)
    newest_first.reverse()
    return sorted(newest_first, key=bucket)


def as_put_in(answer: Any) -> Any:
    """Return a copy of a recorded answer whose members are in the order of insertion.

    They were recorded as QEMU walks them, which turns those of one bucket round.
    """
    if isinstance(answer, list):
        return [as_put_in(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    return {name: as_put_in(answer[name]) for name in reversed(answer)}
