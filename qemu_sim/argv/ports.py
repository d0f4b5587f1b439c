"""What ports lead to: -serial and -parallel.

QEMU: system/vl.c (serial_parse, parallel_parse)
"""

from __future__ import annotations

from qemu_sim.argv.compat_chardev import compat_chardev
from qemu_sim.argv.reading import Reader, Reading
from qemu_sim.machine.configuration import Given, MonitorSpec, StartError

_NOWHERE = "none"
_MOST_PARALLELS = 3
_GIVEN = "chardev:"
_MONITORED = "mon:"


def _serial(reading: Reading, source: str, text: str) -> None:
    reading.given_defaults.add("serial")
    _plug(reading, source, text, "serial", reading.configuration.serials)


def _parallel(reading: Reading, source: str, text: str) -> None:
    reading.given_defaults.add("parallel")
    if len(reading.configuration.parallels) == _MOST_PARALLELS:
        raise StartError(f"{source}: too many parallel ports")
    _plug(reading, source, text, "parallel", reading.configuration.parallels)


def _plug(reading: Reading, source: str, text: str, kind: str, ports: list[str | None]) -> None:
    """Lead the next port to what `text` says, or nowhere."""
    failed = f"could not connect {kind} device to character backend '{text}'"
    label = f"{kind}{len(ports)}"
    chardevs = reading.configuration.chardevs
    if text == _NOWHERE:
        ports.append(None)
    elif text.startswith(_GIVEN):
        label = text.removeprefix(_GIVEN)
        reading.named_ports.append((label, f"{source}: {failed}"))
        ports.append(label)
    else:
        ports.append(label)
        base = f"{label}-base" if text.startswith(_MONITORED) else label
        made = compat_chardev(reading, source, text.removeprefix(_MONITORED), base, failed)
        chardevs.append(Given(source, made, typed=True, failed=failed))
        if base != label:
            _share(reading, source, label, base)


def check(reading: Reading) -> None:
    """Raise StartError if a port leads to a chardev that no option made, before it or behind."""
    chardevs = {given.values["id"] for given in reading.configuration.chardevs}
    for label, complaint in reading.named_ports:
        if label not in chardevs:
            raise StartError(complaint)


def _share(reading: Reading, source: str, label: str, base: str) -> None:
    """Put a monitor for a person beside the port."""
    mux = {"id": label, "backend": {"type": "mux", "data": {"chardev": base}}}
    reading.configuration.chardevs.append(Given(source, mux, typed=True))
    reading.configuration.monitors.append(MonitorSpec(source, label, "readline"))


READERS: dict[str, Reader] = {
    "serial": _serial,
    "parallel": _parallel,
}
