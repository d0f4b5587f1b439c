"""Options that are read and checked, and then change nothing, with the reason for each.

QEMU: system/vl.c, system/rtc.c, audio/audio.c, system/qemu-seccomp.c

The guest here runs no code: it has no firmware, clock, keyboard, screen or sound card that
such an option could set up.
"""

from __future__ import annotations

import os
import re

from qemu_sim.argv.reading import Asked, Reader, Reading, blame, not_simulated, read_json
from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import StartError
from qemu_sim.qapi.keyval import Tree, parse_keyval
from qemu_sim.qapi.opts import Group, as_text, parse_bool, parse_number

_DISPLAY_MEMBERS = ("full-screen", "window-close", "show-cursor", "gl")
_DISPLAYS = ("default", "none", "gtk", "sdl", "egl-headless", "curses", "spice-app", "dbus", "vnc")
_VGA = ("std", "cirrus", "vmware", "qxl", "xenfb", "tcx", "cg3", "virtio")
_AUDIO_MEMBERS = ("driver", "id", "timer-period", "in", "out", "model")
_AUDIO_DRIVERS = ("none", "alsa", "oss", "pa", "pipewire", "sdl", "spice", "dbus", "wav", "jack")
_DATE = r"\d{4}-\d\d?-\d\d?(?:T\d\d?:\d\d?:\d\d?)?"


def _mem_lock(key: str, value: str) -> str:
    if value not in ("on", "off", "on-fault"):
        raise QMPError(f"parameter '{key}' expects one of 'on', 'off', 'on-fault'")
    return value


_OVERCOMMIT = Group("overcommit", kinds={"mem-lock": _mem_lock, "cpu-pm": parse_bool})
_RTC = Group("rtc", kinds=dict.fromkeys(("base", "clock", "driftfix"), as_text), merged=True)
_ISCSI_KEYS = ("user", "password", "password-secret", "header-digest", "initiator-name")
_ISCSI = Group("iscsi", kinds={**dict.fromkeys(_ISCSI_KEYS, as_text), "timeout": parse_number})
_SANDBOX_VALUES = {
    "obsolete": ("allow", "deny"),
    "elevateprivileges": ("allow", "deny", "children"),
    "spawn": ("allow", "deny"),
    "resourcecontrol": ("allow", "deny"),
}
_SANDBOX = Group(
    "sandbox",
    implied="enable",
    kinds={"enable": parse_bool, **dict.fromkeys(_SANDBOX_VALUES, as_text)},
)


def nothing(_reading: Reading, _source: str, _text: str) -> None:
    """Take the option as it is: there is nothing about it to check."""


def _nodefaults(reading: Reading, _source: str, _text: str) -> None:
    reading.configuration.nodefaults = True


def _nographic(reading: Reading, _source: str, _text: str) -> None:
    reading.configuration.nographic = True


def _machine_property(name: str) -> Reader:
    """Read an option that is short for one of -machine."""

    def read(reading: Reading, _source: str, text: str) -> None:
        reading.configuration.machine[name] = text

    return read


def _display(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        values = _tree("display", text, "type")
        kind = values.get("type")
        if kind is None:
            raise QMPError("Parameter 'type' is missing")
        if kind not in _DISPLAYS:
            raise QMPError(f"Parameter 'type' does not accept value '{kind}'")
        if kind != "none":
            raise not_simulated(source)
        _expect_only(values, ("type", *_DISPLAY_MEMBERS))
    reading.configuration.display = kind


def _audiodev(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        values = _tree("audiodev", text, "driver")
        _check_audio(source, values, ("id", "driver"))
    reading.configuration.audiodevs.add(values["id"])


def _audio(_reading: Reading, source: str, text: str) -> None:
    with blame(source):
        _check_audio(source, _tree("audio", text, "driver"), ("driver",))


def _check_audio(source: str, values: Tree, required: tuple[str, ...]) -> None:
    for key in required:
        if key not in values:
            raise QMPError(f"Parameter '{key}' is missing")
    driver = values["driver"]
    if driver not in _AUDIO_DRIVERS:
        raise QMPError(f"Parameter 'driver' does not accept value '{driver}'")
    if driver != "none":
        raise not_simulated(source)
    _expect_only(values, _AUDIO_MEMBERS)


def _rtc(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        values = reading.opts(_RTC, source, text).values
    base = values.get("base", "utc")
    if base not in ("utc", "localtime") and not re.fullmatch(_DATE, base):
        raise StartError(
            "invalid datetime format\nvalid formats: '2006-06-17T16:01:21' or '2006-06-17'"
        )
    for key, allowed in (("clock", ("host", "rt", "vm")), ("driftfix", ("slew", "none"))):
        if values.get(key, allowed[0]) not in allowed:
            raise StartError(f"invalid option value '{values[key]}'")


def _overcommit(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        reading.opts(_OVERCOMMIT, source, text)


def _iscsi(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        reading.opts(_ISCSI, source, text)


def _log_file(_reading: Reading, _source: str, text: str) -> None:
    """Make the file, which stays empty: only -d, which is not simulated, has more written."""
    if "%" in text.replace("%d", "", 1):
        raise StartError(f"Bad logfile template: {text}")
    path = text.replace("%d", str(os.getpid()))
    try:
        with open(path, "wb"):
            pass
    except OSError as error:
        raise StartError(f"Error opening logfile {path}: {error.strerror}") from None


def _sandbox(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        values = reading.opts(_SANDBOX, source, text).values
        for key, allowed in _SANDBOX_VALUES.items():
            if values.get(key, "allow") not in allowed:
                raise QMPError(f"invalid argument for {key}")


def _vga(_reading: Reading, source: str, text: str) -> None:
    if text == "none":
        return
    if text in _VGA:
        raise not_simulated(source)
    raise StartError(f"unknown vga type: {text}")


def _seed(_reading: Reading, source: str, text: str) -> None:
    try:
        parse_number("seed", text)
    except QMPError:
        raise StartError(f"{source}: Invalid seed number: {text}") from None


def _tree(topic: str, text: str, implied: str) -> Tree:
    if text in ("help", "?"):
        raise Asked(topic)
    return read_json(text) if text.startswith("{") else parse_keyval(text, implied)


def _expect_only(values: Tree, known: tuple[str, ...]) -> None:
    for key in values:
        if key not in known:
            raise QMPError(f"Parameter '{key}' is unexpected")


READERS: dict[str, Reader] = {
    "nodefaults": _nodefaults,
    "nographic": _nographic,
    "no-user-config": nothing,
    "display": _display,
    "vga": _vga,
    "audiodev": _audiodev,
    "audio": _audio,
    "rtc": _rtc,
    "overcommit": _overcommit,
    "sandbox": _sandbox,
    "iscsi": _iscsi,
    "seed": _seed,
    "k": nothing,
    "L": nothing,
    "D": _log_file,
    "bios": _machine_property("firmware"),
    "kernel": _machine_property("kernel"),
    "initrd": _machine_property("initrd"),
    "append": _machine_property("append"),
    "smbios": nothing,
    "no-acpi": nothing,
    "no-hpet": nothing,
}
