"""The picture on a screen that no guest has drawn on: black.

QEMU: ui/console.c (qemu_create_placeholder_surface), ui/ui-qmp-cmds.c (ppm_save, png_save)

QEMU writes a line of text on it, which this does not.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from qemu_sim.wire.rfb import HEIGHT, WIDTH

_PIXEL = bytes(3)  # red, green, blue
_NO_FILTER = b"\0"
_PNG = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOR = 2


def ppm() -> bytes:
    """Return it as a portable pixmap."""
    return f"P6\n{WIDTH} {HEIGHT}\n255\n".encode() + _PIXEL * (WIDTH * HEIGHT)


def png() -> bytes:
    """Return it as PNG (ISO/IEC 15948)."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, _TRUE_COLOR, 0, 0, 0)
    lines = zlib.compress((_NO_FILTER + _PIXEL * WIDTH) * HEIGHT)
    return _PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", lines) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


FORMATS: dict[str, Callable[[], bytes]] = {"ppm": ppm, "png": png}
