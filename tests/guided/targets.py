"""What is fed, and what it promises."""

from __future__ import annotations

import glob
import json
import lzma
import os
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from qemu_sim.argv.parse import parse
from qemu_sim.argv.reading import Asked
from qemu_sim.argv.report import Report
from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.machine.configuration import StartError
from qemu_sim.qapi import profile as profiles
from qemu_sim.wire import vmfile
from qemu_sim.wire.json_stream import JsonStream
from qemu_sim.wire.qmp import Session

_DATA = os.path.join(os.path.dirname(__file__), "..", "data")
_VERSIONS = ((11, 1, 3), (7, 2, 22))
_ANSWERS = 10_000  # more than any input of the fuzzer's size asks for
_SCHEMAS = {name: profiles.load(name).extended_schema("devices") for name in ("11.1", "7.2")}
_COMMANDS = {
    name: sorted(each["name"] for each in schema.by_name.values() if each["meta-type"] == "command")
    for name, schema in _SCHEMAS.items()
}


class Target(NamedTuple):
    """One thing that takes any bytes; `seeds` are some to begin with."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def _json(data: bytes) -> None:
    """The parser says the same however its input is cut."""
    for version in _VERSIONS:
        whole, cut = JsonStream(version), JsonStream(version)
        expected = whole.receive(data)
        found = [item for at in range(len(data)) for item in cut.receive(data[at : at + 1])]
        assert repr(found) == repr(expected)


def _session(data: bytes) -> None:
    """A session answers or refuses each request, and ends."""
    session = Session(_VERSIONS[0], "")
    session.receive(data)
    for _ in range(_ANSWERS):
        request = session.next_request()
        if request is None:
            break
        session.reply(request, {})
    else:
        raise AssertionError("there is no end of requests")
    json.loads(session.take_output().splitlines()[0])


def _arguments(data: bytes) -> None:
    """A validator takes arguments, or refuses them in QEMU's words."""
    name = list(_SCHEMAS)[data[0] % 2] if data else "11.1"
    commands = _COMMANDS[name]
    command = commands[int.from_bytes(data[1:3], "little") % len(commands)]
    with suppress(ValueError, RecursionError):
        arguments = json.loads(data[3:])
        if isinstance(arguments, dict):
            with suppress(QMPError):
                _SCHEMAS[name].check_arguments(command, arguments)


def _command_line(data: bytes) -> None:
    """A command line is read, or refused."""
    argv = [each.decode("utf-8", "surrogateescape") for each in data.split(b"\0")]
    if any(each in ("-readconfig", "-writeconfig", "--readconfig") for each in argv):
        return  # they read and write whatever file they are told
    with suppress(StartError, Asked, QMPError):
        parse(argv, Report("qemu-sim"))


def _stream(data: bytes) -> None:
    """A migration stream is read as far as it is one."""
    with suppress(WireError, MigrationError):
        for _ in vmfile.read(data):
            pass


def _golden() -> list[bytes]:
    found = []
    for path in glob.glob(os.path.join(_DATA, "stream-*.xz")):
        with lzma.open(path) as file:
            found.append(file.read())
    return [*(each[:4096] for each in found), *(each for each in found if len(each) < 1 << 18)]


def _options() -> list[bytes]:
    lines = (
        "-M q35,smp.cpus=2 -m 64,slots=2,maxmem=1G -nodefaults -S",
        "-object memory-backend-memfd,id=m0,size=1M -M q35,memory-backend=m0",
        "-netdev tap,id=n0,ifname=t -device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01",
        '-blockdev {"driver":"null-co","node-name":"n"} -device virtio-blk-pci,drive=n',
        "-chardev socket,id=c,path=p,server=on,wait=off -mon chardev=c,mode=control",
        "-incoming defer -sim profile=7.2,clock=10x -qmp unix:q,server=on",
    )
    return [line.replace(" ", "\0").encode() for line in lines]


TARGETS = {
    "json": Target(_json, lambda: [b'{"execute": "x", "arguments": {"a": [1, -2.5e3]}}', b"'a'[]"]),
    "session": Target(
        _session, lambda: [b'{"execute":"qmp_capabilities"}{"execute":"x","id":1}{"exec-oob":"y"}']
    ),
    "arguments": Target(
        _arguments,
        lambda: [bytes([n % 2, n, 0]) + b'{"id": "x", "size": 1}' for n in range(0, 250, 7)],
    ),
    "command-line": Target(_command_line, _options),
    "stream": Target(_stream, _golden),
}
