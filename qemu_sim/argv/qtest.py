"""Options of test programs: -qtest and -qtest-log.

QEMU: system/vl.c

The address is read when the machine is made, as in QEMU.
"""

from __future__ import annotations

from qemu_sim.argv.reading import Reader, Reading


def _qtest(reading: Reading, _source: str, text: str) -> None:
    reading.configuration.qtest = text


def _qtest_log(reading: Reading, _source: str, text: str) -> None:
    reading.configuration.qtest_log = text


READERS: dict[str, Reader] = {"qtest": _qtest, "qtest-log": _qtest_log}
