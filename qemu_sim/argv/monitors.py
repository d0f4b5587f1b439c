"""Options that connect a monitor: -qmp, -qmp-pretty, -mon, -monitor.

A monitor may also be an object: -object monitor-qmp and monitor-hmp.

QEMU: system/vl.c (monitor_parse), monitor/monitor.c (monitor_init_opts)
"""

from __future__ import annotations

from typing import Any

from qemu_sim.argv.compat_chardev import compat_chardev
from qemu_sim.argv.reading import Reader, Reading, blame
from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import Given, MonitorSpec
from qemu_sim.qapi.opts import Group, as_text, parse_bool


def _mode(_key: str, value: str) -> str:
    if value not in ("control", "readline"):
        raise QMPError(f"Parameter 'mode' does not accept value '{value}'")
    return value


_MON = Group(
    "mon",
    implied="chardev",
    kinds={"chardev": as_text, "mode": _mode, "pretty": parse_bool},
)
_DEPRECATED = (
    "'-mon' is deprecated, use '-object' with 'monitor-hmp' or 'monitor-qmp' types instead"
)
_COUNTS_OWN_CHARDEVS = (9, 0, 0)  # newer than 7.2: a monitor on another's has no number
_DEPRECATED_SINCE = (11, 1, 0)
OBJECTS = {"monitor-qmp": "control", "monitor-hmp": "readline"}


def _qmp(reading: Reading, source: str, text: str) -> None:
    _compat(reading, source, text, "control", pretty=False)


def _qmp_pretty(reading: Reading, source: str, text: str) -> None:
    _compat(reading, source, text, "control", pretty=True)


def _monitor(reading: Reading, source: str, text: str) -> None:
    reading.given_defaults.add("monitor")
    if text != "none":
        _compat(reading, source, text, "readline", pretty=False)


def _compat(reading: Reading, source: str, text: str, mode: str, *, pretty: bool) -> None:
    """Add a monitor on a chardev of its own, or on the one that `chardev:ID` names."""
    reading.given_defaults.add("monitor")
    if text.startswith("chardev:"):
        label = text.removeprefix("chardev:")
        reading.compat_monitors += reading.version < _COUNTS_OWN_CHARDEVS
    else:
        label = f"compat_monitor{reading.compat_monitors}"
        reading.compat_monitors += 1
        _compat_chardev(reading, source, text, label)
    reading.configuration.monitors.append(MonitorSpec(source, label, mode, pretty))


def _compat_chardev(reading: Reading, source: str, text: str, label: str) -> None:
    # A multiplexer with one front end changes nothing.
    failed = f"parse error: {text}"
    made = compat_chardev(reading, source, text.removeprefix("mon:"), label, failed)
    reading.configuration.chardevs.append(Given(source, made, typed=True))


def _mon(reading: Reading, source: str, text: str) -> None:
    reading.given_defaults.add("monitor")
    if reading.version >= _DEPRECATED_SINCE and reading.opts_source is None:
        reading.report.warn_once(source, _DEPRECATED)
    with blame(source):
        id, values = reading.opts(_MON, source, text)
        if "chardev" not in values:
            raise QMPError("Parameter 'chardev' is missing")
        mode = values.get("mode", "readline")
        if mode == "readline" and values.get("pretty"):
            raise QMPError("'pretty' is not compatible with HMP monitors")
    reading.configuration.monitors.append(
        MonitorSpec(source, values["chardev"], mode, values.get("pretty", False), id)
    )


def from_object(reading: Reading, given: Given) -> MonitorSpec:
    """Return the monitor that an object of a type in `OBJECTS` is. Raises QMPError."""
    options = object_options(reading, given)
    mode, pretty = OBJECTS[options["qom-type"]], options.get("pretty", False)
    return MonitorSpec(given.source, options["chardev"], mode, pretty, options["id"])


def object_options(reading: Reading, given: Given) -> dict[str, Any]:
    """Return an object's options as the schema has them. Raises QMPError."""
    from qemu_sim.qapi import profile as profiles  # noqa: PLC0415 - few command lines need it

    schema = profiles.load(reading.profile).schema
    check = schema.check_arguments if given.typed else schema.check_keyval
    return check("object-add", given.values)


READERS: dict[str, Reader] = {
    "qmp": _qmp,
    "qmp-pretty": _qmp_pretty,
    "monitor": _monitor,
    "mon": _mon,
}
