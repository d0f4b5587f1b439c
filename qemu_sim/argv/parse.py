"""Read a whole command line.

QEMU: system/vl.c (qemu_init, lookup_opt)

As in QEMU there are two passes: the first sees only whether each option exists and has its
argument, so that `-version -nonsense` is an error.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from qemu_sim.argv import (
    drive,
    harmless,
    machine,
    monitors,
    nics,
    numa,
    parts,
    ports,
    process,
    qtest,
    table,
    vnc,
)
from qemu_sim.argv.reading import Asked, Reader, Reading, not_simulated
from qemu_sim.argv.report import Report
from qemu_sim.machine.configuration import Configuration, MonitorSpec, StartError


def _readconfig(reading: Reading, source: str, text: str) -> None:
    from qemu_sim.argv import config_file  # noqa: PLC0415 - few command lines name one

    config_file.read(reading, source, text, READERS)


READERS: dict[str, Reader] = {
    "readconfig": _readconfig,
    **machine.READERS,
    **numa.READERS,
    **parts.READERS,
    **drive.READERS,
    **monitors.READERS,
    **ports.READERS,
    **nics.READERS,
    **process.READERS,
    **qtest.READERS,
    **vnc.READERS,
    **harmless.READERS,
}


_SETTINGS = "sim"
_DROPPED_OLD = (9, 0, 0)


class _Word(NamedTuple):
    """One option as written: "-name foo" is its `source`; `name` is "" for a disk image."""

    source: str
    name: str
    text: str


def parse(arguments: Sequence[str], report: Report) -> Configuration:
    """Return what `arguments` (without the program) ask for. Warnings go to `report`.

    Raises StartError, and Asked for -help, -version and their like.
    """
    words = list(_words(arguments))
    reading = Reading(report)
    # The words of QEMU depend on its version, so what says that comes first.
    for word in words:
        if word.name == _SETTINGS:
            _read(reading, word)
    _refuse_dropped(reading, words)
    for word in words:
        if word.name != _SETTINGS:
            _read(reading, word)
    _check_whole(reading)
    return reading.configuration


def _words(arguments: Sequence[str]) -> Iterator[_Word]:
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            yield _Word(argument, "", argument)
            continue
        name = argument.removeprefix("-").removeprefix("-")
        has_argument = table.takes_argument(name)
        if has_argument is None:
            raise StartError(f"{argument}: invalid option")
        text = next(rest, None) if has_argument else ""
        if text is None:
            raise StartError(f"{argument}: requires an argument")
        yield _Word(f"{argument} {text}" if has_argument else argument, name, text)


def _refuse_dropped(reading: Reading, words: list[_Word]) -> None:
    """Refuse what only an older QEMU knew, unless an older one is simulated."""
    for word in words:
        if word.name in table.OLD and reading.version >= _DROPPED_OLD:
            raise StartError(f"{word.source}: invalid option")


def _read(reading: Reading, word: _Word) -> None:
    if not word.name:
        process.DISK_IMAGE(reading, word.source, word.text)
        return
    reader = READERS.get(word.name)
    if reader is None:
        raise not_simulated(word.source)
    try:
        reader(reading, word.source, word.text)
    except Asked as asked:
        asked.profile = reading.profile
        raise
    if reading.guest_name_in_messages:
        reading.report.guest_name = reading.configuration.name


def _check_whole(reading: Reading) -> None:
    """Check what no single option shows."""
    configuration = reading.configuration
    if "accel" in configuration.machine and configuration.accelerators:
        raise StartError('The -accel and "-machine accel=" options are incompatible')
    for needing in ("append", "initrd"):
        if needing in configuration.machine and "kernel" not in configuration.machine:
            raise StartError(f"-{needing} only allowed with -kernel option")
    if configuration.daemonize:
        _check_daemon(reading)
    _check_stdio(configuration)
    ports.check(reading)
    _check_monitors(configuration.monitors, configuration)


def _check_daemon(reading: Reading) -> None:
    configuration = reading.configuration
    defaults = {"serial", "parallel", "monitor"} - reading.given_defaults
    if configuration.nographic and defaults and not configuration.nodefaults:
        raise StartError("-nographic cannot be used with -daemonize")


def _check_stdio(configuration: Configuration) -> None:
    """Only one chardev can have stdin and stdout, and a daemon has neither."""
    on_stdio = [
        given for given in configuration.chardevs if given.values["backend"]["type"] == "stdio"
    ]
    if on_stdio and configuration.daemonize:
        raise StartError(f"{on_stdio[0].source}: cannot use stdio with -daemonize")
    if len(on_stdio) > 1:
        raise StartError(f"{on_stdio[1].source}: cannot use stdio by multiple character devices")


def _check_monitors(monitors: list[MonitorSpec], configuration: Configuration) -> None:
    chardevs = {given.values["id"] for given in configuration.chardevs}
    used = set()
    for monitor in monitors:
        # QEMU does not say which object it was.
        source = "" if monitor.source.startswith("-object ") else f"{monitor.source}: "
        if monitor.chardev not in chardevs:
            raise StartError(f'{source}chardev "{monitor.chardev}" not found')
        if monitor.chardev in used:
            raise StartError(f"{source}chardev '{monitor.chardev}' is already in use")
        used.add(monitor.chardev)
