"""Options about the process: -daemonize, -pidfile, -incoming, -msg, -run-with, -action, -sim.

QEMU: system/vl.c, system/runstate-action.c, os-posix.c
"""

from __future__ import annotations

import re

from qemu_sim.argv.reading import Asked, Reader, Reading, blame, not_simulated, read_json
from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import Given, StartError
from qemu_sim.qapi.keyval import parse_keyval
from qemu_sim.qapi.opts import Group, Kind, as_text, parse_bool, split

_MSG = Group("msg", kinds={"timestamp": parse_bool, "guest-name": parse_bool}, merged=True)
_RUN_WITH = Group(
    "run-with",
    kinds={
        "async-teardown": parse_bool,
        "exit-with-parent": parse_bool,
        "chroot": as_text,
        "user": as_text,
    },
)
_ACTIONS = {
    "reboot": ("reset", "shutdown"),
    "shutdown": ("poweroff", "pause"),
    "panic": ("pause", "shutdown", "exit-failure", "none"),
    "watchdog": ("reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi"),
}
_COMPAT = {
    f"{feature}-{direction}": policies
    for feature in ("deprecated", "unstable")
    for direction, policies in (
        ("input", ("accept", "reject", "crash")),
        ("output", ("accept", "hide")),
    )
}
_URI = r"[A-Za-z0-9+.-]*:"
_CHANNELS = ("main", "cpr")
_CHANNELS_SINCE = (10, 0, 0)


def _one_of(allowed: tuple[str, ...]) -> Kind:
    def read(key: str, value: str) -> str:
        if value not in allowed:
            raise QMPError(f"Parameter '{key}' does not accept value '{value}'")
        return value

    return read


_ACTION = Group("action", kinds={name: _one_of(values) for name, values in _ACTIONS.items()})


def _version(_reading: Reading, _source: str, _text: str) -> None:
    raise Asked("version")


def _help(_reading: Reading, _source: str, _text: str) -> None:
    raise Asked("help")


def _daemonize(reading: Reading, _source: str, _text: str) -> None:
    reading.configuration.daemonize = True


def _pidfile(reading: Reading, _source: str, text: str) -> None:
    reading.configuration.pidfile = text


def _incoming(reading: Reading, source: str, text: str) -> None:
    configuration = reading.configuration
    if reading.version < _CHANNELS_SINCE and text != "defer":
        configuration.incoming = Given(source, {"uri": text})
        return
    given = _incoming_channel(source, text)
    if given.values.get("channel", {}).get("channel-type") == "cpr":
        configuration.incoming_cpr = given
    else:
        configuration.incoming = given


def _incoming_channel(source: str, text: str) -> Given:
    if text == "defer":
        return Given(source, {"defer": True})
    if not text.startswith("{") and re.match(_URI, text):
        return Given(source, {"uri": text})
    with blame(source):
        typed = text.startswith("{")
        channel = read_json(text) if typed else parse_keyval(text, "channel-type")
        kind = channel.get("channel-type")
        if kind is None:
            raise QMPError("Parameter 'channel-type' is missing")
        if kind not in _CHANNELS:
            raise QMPError(f"Parameter 'channel-type' does not accept value '{kind}'")
        if "addr" not in channel:
            raise QMPError("Parameter 'addr' is missing")
    return Given(source, {"channel": channel}, typed)


def _msg(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        values = reading.opts(_MSG, source, text).values
    reading.report.timestamps = values.get("timestamp", False)
    reading.guest_name_in_messages = values.get("guest-name", False)


def _run_with(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        values = reading.opts(_RUN_WITH, source, text).values
    for key in ("chroot", "user"):
        if key in values:
            raise not_simulated(f"{source}: '{key}'")
    # async-teardown only hides how long it takes to free a big guest's RAM.
    reading.configuration.exit_with_parent = values.get("exit-with-parent", False)


def _action(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        values = reading.opts(_ACTION, source, text).values
    reading.configuration.actions.update(values)


def _watchdog_action(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        _one_of(_ACTIONS["watchdog"])("watchdog", text)
    reading.configuration.actions["watchdog"] = text


def _no_reboot(reading: Reading, _source: str, _text: str) -> None:
    reading.configuration.actions["reboot"] = "shutdown"


def _no_shutdown(reading: Reading, _source: str, _text: str) -> None:
    reading.configuration.actions["shutdown"] = "pause"


def _compat(reading: Reading, source: str, text: str) -> None:
    """Read -compat: what is deprecated or unstable can be refused, but not hidden."""
    rejected = reading.configuration.rejected
    with blame(source):
        values = read_json(text) if text.startswith("{") else parse_keyval(text)
        for key, value in values.items():
            if key not in _COMPAT:
                raise QMPError(f"Parameter '{key}' is unexpected")
            if _one_of(_COMPAT[key])(key, value) not in ("accept", "reject"):
                raise not_simulated(source)
            feature = key.partition("-")[0]
            if value == "reject":
                rejected.add(feature)
            elif key.endswith("-input"):
                rejected.discard(feature)


def _sim(reading: Reading, source: str, text: str) -> None:
    """Collect our own settings; the values of a repeated key become a list."""
    settings = reading.configuration.sim
    for key, value, bare in split(text):
        if bare is not None:
            raise StartError(f"{source}: Expected '=' after parameter '{key}'")
        if key in settings:
            known = settings[key]
            settings[key] = [*([known] if isinstance(known, str) else known), value]
        else:
            settings[key] = value


def _disk_image(_reading: Reading, source: str, _text: str) -> None:
    raise StartError(f"{source}: a disk image without -device is not simulated by qemu-sim")


DISK_IMAGE: Reader = _disk_image

READERS: dict[str, Reader] = {
    "version": _version,
    "help": _help,
    "h": _help,
    "daemonize": _daemonize,
    "pidfile": _pidfile,
    "incoming": _incoming,
    "msg": _msg,
    "run-with": _run_with,
    "action": _action,
    "watchdog-action": _watchdog_action,
    "no-reboot": _no_reboot,
    "no-shutdown": _no_shutdown,
    "compat": _compat,
    "sim": _sim,
}
