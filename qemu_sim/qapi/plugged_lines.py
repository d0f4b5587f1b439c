"""What the lines of `info qtree` tell of one device that was recorded; see plugged.py.

QEMU: system/qdev-monitor.c (qdev_print, qbus_print)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

ID = "qemu-sim-device"  # of what was recorded

_BUS = re.compile(rf" +bus: {ID}(.*)")
_TYPE = "type "
_VIRTIO = "  bus: virtio-bus"


def buses(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return the buses of a device that bear its ID: what follows that in the name, the type."""
    found = []
    for line, after in pairwise(lines):
        name = _BUS.fullmatch(line)
        if name is not None:
            found.append((name[1], after.strip().removeprefix(_TYPE)))
    return found


def is_proxy(lines: Sequence[str]) -> bool:
    """Whether a virtio device is behind it, which goes with it."""
    return _VIRTIO in lines
