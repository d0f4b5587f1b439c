"""The option -numa.

QEMU: hw/core/numa.c (parse_numa)

It is read when the machine is made, as in QEMU: of a key that is repeated all values count.
"""

from __future__ import annotations

from qemu_sim.argv.reading import Asked, Reader, Reading, blame
from qemu_sim.machine.configuration import Given
from qemu_sim.qapi.opts import split
from qemu_sim.qapi.sizes import parse_size

# QAPI's `size`, which a schema does not tell from other numbers, takes units.
_SIZES = ("size", "bandwidth")


def _numa(reading: Reading, source: str, text: str) -> None:
    if text in ("help", "?"):
        raise Asked("numa")
    values: dict[str, str | list[str]] = {}
    for key, given, warning in split(text, "type"):
        value = given
        if warning is not None:
            reading.report.warn(source, warning)
        if key in _SIZES:
            with blame(source):
                value = str(parse_size(key, given))
        known = values.get(key)
        if known is None:
            values[key] = value
        else:
            values[key] = [*([known] if isinstance(known, str) else known), value]
    reading.configuration.numa.append(Given(source, values))


READERS: dict[str, Reader] = {"numa": _numa}
