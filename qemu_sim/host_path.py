"""The bytes of a file name on the host, from the text that a client gave.

QEMU: qobject/json-lexer.c, qobject/json-parser.c; util/osdep.c (qemu_open)

A QMP string may hold U+0000. QEMU keeps it inside as modified UTF-8, the bytes C0 80, and
these are what it gives to the kernel. Names from the command line may be no UTF-8 at all.
"""

from __future__ import annotations


def host_path(name: str) -> bytes:
    """Return the name as the kernel takes it."""
    return name.encode("utf-8", "surrogateescape").replace(b"\0", b"\xc0\x80")
