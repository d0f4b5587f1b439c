"""Boot sectors whose program the simulated guest knows.

QEMU: tests/qtest/migration/i386/a-b-bootblock.S (tests/migration/i386 before 10.0)

No code is executed here, so a program is recognised by what its sector holds, and what
it does is done by `PageWriter`. From any other sector nothing is booted.

Besides those of QEMU's migration tests there are two of our own. A CPU that really ran
one would halt: behind that there is but a text.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

_SIZE = 512
_SIGNATURE = b"\x55\xaa"
_HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to hlt
_AFTER_THE_PAGES = 100 << 20
_IN_THE_FIRST_PAGE = (1 << 20) + 4


class Code(NamedTuple):
    """One version of the program.

    Whether it `clears` the bytes that it is about to count in, and whether it `suspends`
    the machine after its first sign; that it did so is noted at the address `note`.
    """

    clears: bool = False
    suspends: bool = False
    note: int = _AFTER_THE_PAGES


def _own(text: bytes) -> bytes:
    return (_HALT + text).ljust(_SIZE - len(_SIGNATURE), b"\0") + _SIGNATURE


PAGE_WRITER = _own(b"qemu-sim: write to pages")
SUSPENDING_PAGE_WRITER = _own(b"qemu-sim: write to pages, suspend")

_NEW = Code(clears=True, note=_IN_THE_FIRST_PAGE)
_NEW_SUSPENDING = _NEW._replace(suspends=True)
_OWN = {PAGE_WRITER: _NEW, SUSPENDING_PAGE_WRITER: _NEW_SUSPENDING}
# QEMU's, by the first 16 hexadecimal digits of the sector's SHA-256.
_KNOWN = {
    "e818909f35fda371": Code(),  # 2.12 to 8.2
    "932f616e71893ccd": Code(),  # 9.0 to 9.2
    "60ba4a2014c4ebd9": Code(suspends=True),
    "2a443498d52a12a7": _NEW,  # since 10.0
    "e293bf1608b02308": _NEW_SUSPENDING,
}


def recognise(sector: bytes) -> Code | None:
    """Return the program in a disk's first 512 bytes; None if the guest knows none."""
    return _OWN.get(sector) or _KNOWN.get(hashlib.sha256(sector).hexdigest()[:16])
