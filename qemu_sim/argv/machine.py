"""Options that describe the machine itself.

QEMU: system/vl.c, hw/core/machine.c
"""

from __future__ import annotations

import re

from qemu_sim.argv.reading import Asked, Reader, Reading, blame
from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import Given, StartError
from qemu_sim.qapi.keyval import merge, parse_integer
from qemu_sim.qapi.opts import Group, as_text, parse_bool, parse_number
from qemu_sim.qapi.sizes import parse_size

_SIZE_MAX = (1 << 64) - 1


def _memory_size(key: str, value: str) -> int:
    """Read a size in bytes, or in MiB if no unit is written."""
    size = parse_size(key, value)
    if not value[-1].isdigit():
        return size
    size <<= 20
    if size > _SIZE_MAX or not value.isdigit():
        # QEMU adds the unit when -m has become a property of the machine.
        raise StartError("Parameter 'memory.size' expects size")
    return size


_NAME = Group(
    "name",
    implied="guest",
    kinds={"guest": as_text, "process": as_text, "debug-threads": parse_bool},
    merged=True,
)
_MEMORY = Group(
    "memory",
    implied="size",
    kinds={"size": _memory_size, "slots": parse_number, "maxmem": parse_size},
    merged=True,
)
_ACCEL = Group("accel", implied="accel")
_GLOBAL = Group("global", kinds=dict.fromkeys(("driver", "property", "value"), as_text))
_SHORT_GLOBAL = r"(?s)([^.=,]{1,63})\.([^=]{1,63})=(.*)"
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_BOOT_BOOLEANS = ("menu", "strict")
_BOOT_INTEGERS = ("splash-time", "reboot-timeout")
_BOOT_STRINGS = ("order", "once", "splash")
_BOOT_DEVICES = "abcdefghijklmnop"


def _name(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        found = reading.opts(_NAME, source, text).values
    configuration = reading.configuration
    configuration.name = found.get("guest", configuration.name)
    configuration.process_name = found.get("process", configuration.process_name)
    configuration.debug_threads = found.get("debug-threads", configuration.debug_threads)


def _uuid(reading: Reading, source: str, text: str) -> None:
    if not re.fullmatch(_UUID, text):
        raise StartError(f"{source}: failed to parse UUID string: wrong format")
    reading.configuration.uuid = text.lower()


def _machine(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        found = reading.keyval("machine", text, "type")
        merge(reading.configuration.machine, found)
    _check_boot_options(found.get("boot", {}))


def _memory(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        found = reading.opts(_MEMORY, source, text).values
    reading.configuration.memory.update(found)


def _smp(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        found = reading.keyval("smp-opts", text, "cpus")
    merge(reading.configuration.machine, {"smp": found})


def _cpu(reading: Reading, _source: str, text: str) -> None:
    if text in ("help", "?"):
        raise Asked("cpu")
    reading.configuration.cpu = text


def _accel(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        found = reading.opts(_ACCEL, source, text).values
    if "accel" not in found:  # QEMU takes that for a question, too
        raise Asked("accel")
    reading.configuration.accelerators.append(Given(source, found))


def _enable_kvm(reading: Reading, _source: str, _text: str) -> None:
    reading.configuration.machine["accel"] = "kvm"


def _start_paused(reading: Reading, _source: str, _text: str) -> None:
    reading.configuration.start_paused = True


def _loadvm(reading: Reading, _source: str, text: str) -> None:
    reading.configuration.loadvm = text


def _preconfig(reading: Reading, _source: str, _text: str) -> None:
    reading.configuration.preconfig = True


def _global(reading: Reading, source: str, text: str) -> None:
    short = re.fullmatch(_SHORT_GLOBAL, text)
    if short:
        values = dict(zip(("driver", "property", "value"), short.groups(), strict=True))
    else:
        with blame(source):
            values = reading.opts(_GLOBAL, source, text).values
            if len(values) < len(_GLOBAL.kinds or ()):
                raise QMPError("options 'driver', 'property', and 'value' are required")
    reading.configuration.globals.append(Given(source, values))


def _boot(reading: Reading, source: str, text: str) -> None:
    """Check -boot: the simulated guest has no firmware that could follow it."""
    with blame(source):
        found = reading.keyval("boot-opts", text, "order")
    _check_boot_options(found)


def _check_boot_options(found: object) -> None:
    if not isinstance(found, dict):
        raise StartError("Invalid parameter type for 'boot', expected: object")
    try:
        for key, value in found.items():
            _check_boot(key, value)
    except QMPError as error:
        # QEMU applies these to the machine, and has forgotten by then where they stood.
        raise StartError(str(error)) from None


def _check_boot(key: str, value: object) -> None:
    if key in _BOOT_BOOLEANS:
        parse_bool(f"boot.{key}", str(value))
    elif key in _BOOT_INTEGERS:
        parse_integer(f"boot.{key}", str(value))
    elif key not in _BOOT_STRINGS:
        raise QMPError(f"Parameter 'boot.{key}' is unexpected")
    elif key != "splash":
        _check_boot_devices(str(value))


def _check_boot_devices(letters: str) -> None:
    for at, letter in enumerate(letters):
        if letter not in _BOOT_DEVICES:
            raise QMPError(f"Invalid boot device '{letter}'")
        if letter in letters[:at]:
            raise QMPError(f"Boot device '{letter}' was given twice")


READERS: dict[str, Reader] = {
    "name": _name,
    "uuid": _uuid,
    "machine": _machine,
    "M": _machine,
    "m": _memory,
    "smp": _smp,
    "cpu": _cpu,
    "accel": _accel,
    "enable-kvm": _enable_kvm,
    "S": _start_paused,
    "preconfig": _preconfig,
    "loadvm": _loadvm,
    "global": _global,
    "boot": _boot,
}
