"""The format of an image that nobody names: a guess from its first bytes.

QEMU: block.c (find_image_format)
"""

from __future__ import annotations

from qemu_sim.block import nbd_address
from qemu_sim.errors import QMPError
from qemu_sim.host_path import host_path

_QCOW2_MAGIC = b"QFI\xfb"


def probe(path: str) -> str:
    """Return the driver's name. Raises QMPError in QEMU's words."""
    if nbd_address.is_nbd(path):
        raise QMPError("not simulated by qemu-sim: to find out the format of an NBD export")
    try:
        with open(host_path(path), "rb") as file:
            start = file.read(len(_QCOW2_MAGIC))
    except OSError as error:
        raise QMPError(f"Could not open '{path}': {error.strerror}") from None
    return "qcow2" if start == _QCOW2_MAGIC else "raw"
