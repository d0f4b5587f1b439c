"""A chardev that an option other than -chardev makes, under a label of its own.

QEMU: chardev/char.c (qemu_chr_new_noreplay)
"""

from __future__ import annotations

from typing import Any

from qemu_sim.argv.reading import Reading, blame
from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import StartError
from qemu_sim.qapi import chardev_opts


def compat_chardev(
    reading: Reading, source: str, text: str, label: str, failed: str
) -> dict[str, Any]:
    """Return the arguments of chardev-add. Raises StartError, which ends with `failed`."""
    from qemu_sim.qapi import chardev_text  # noqa: PLC0415 - managers use -chardev

    try:
        values = chardev_text.from_text(text)
        reading.claim_id("chardev", label)
    except QMPError as error:
        # QEMU says what is wrong, if it knows, and then that something is.
        known = [f"{source}: {error}"] if str(error) else []
        raise StartError(*known, f"{source}: {failed}") from None
    with blame(source):
        return chardev_opts.chardev_arguments(label, values)
