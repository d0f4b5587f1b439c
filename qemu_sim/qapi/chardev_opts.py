"""Chardevs as the command line writes them, made into arguments of `chardev-add`.

QEMU: chardev/char.c (qemu_chr_parse_compat), chardev/char-socket.c (qemu_chr_parse_socket)

There are two spellings: `-chardev socket,id=c0,path=P,server=on`, and the older one of
`-qmp` and its like, `unix:P,server=on`, which is turned into the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.opts import Group, Pair, as_text, parse_bool, parse_number, split
from qemu_sim.qapi.sizes import parse_size

GROUP = Group(
    "chardev",
    implied="backend",
    kinds={
        **dict.fromkeys(
            (
                *("backend", "path", "input-path", "host", "port", "fd", "localaddr", "localport"),
                *("tls-creds", "tls-authz", "name", "chardev", "logfile", "encoding"),
            ),
            as_text,
        ),
        **dict.fromkeys(
            (
                *("ipv4", "ipv6", "wait", "server", "delay", "nodelay", "telnet", "tn3270"),
                *("websocket", "mux", "signal", "append", "logappend", "mouse", "clipboard"),
                *("abstract", "tight", "mptcp", "keep-alive"),
            ),
            parse_bool,
        ),
        **dict.fromkeys(
            ("to", "reconnect-ms", "width", "height", "cols", "rows", "debug"), parse_number
        ),
        "size": parse_size,
    },
)

_BACKENDS_OF_QEMU = frozenset(
    (
        *("null", "socket", "file", "stdio", "pty", "udp", "pipe", "serial", "parallel", "mux"),
        *("ringbuf", "memory", "hub", "msmouse", "wctablet", "testdev", "vc", "console", "braille"),
        *("dbus", "spicevmc", "spiceport", "qemu-vdagent"),
    )
)
_NOT_SIMULATED = (
    *("telnet", "tn3270", "websocket", "tls-creds", "tls-authz", "reconnect-ms", "mux", "logfile"),
    *("abstract", "to", "mptcp", "keep-alive"),
)
_WHOLE_NAMES = ("null", "pty", "msmouse", "wctablet", "braille", "testdev", "stdio")
_HOST_AND_PORT = r"(?s)([^:]{0,64}):([^,]{1,32})(?:,(.*))?"
_TCP_PROTOCOLS = ("tcp", "telnet", "tn3270", "websocket")

Opts = Mapping[str, Any]


def from_text(text: str) -> dict[str, Any]:
    """Return the options that `unix:P,server=on` and its like stand for.

    Raises QMPError in QEMU's words, with no words at all for a malformed address.
    """
    text = text.removeprefix("mon:")  # a multiplexer with one front end changes nothing
    if text in _WHOLE_NAMES:
        return {"backend": text}
    protocol, colon, rest = text.partition(":")
    if colon and protocol in _TCP_PROTOCOLS:
        return _tcp(protocol, rest)
    if colon and protocol == "unix":
        return {"backend": "socket", **_values(rest, "path")}
    if colon and protocol in ("file", "pipe"):
        return {"backend": protocol, **_values(rest, "path")}
    if colon and protocol == "udp":
        raise QMPError("chardev backend 'udp' is not simulated by qemu-sim")
    if text.startswith("/dev/"):
        kind = "parallel" if text.startswith("/dev/parport") else "serial"
        return {"backend": kind, "path": text}
    if protocol == "vc":
        return {"backend": "vc"}
    raise QMPError(f"'{text}' is not a valid char driver")


def chardev_arguments(id: str, opts: Opts) -> dict[str, Any]:
    """Return `{"id": …, "backend": {"type": …, "data": …}}`. Raises QMPError in QEMU's words."""
    kind = opts.get("backend")
    if kind is None:
        raise QMPError(f'chardev: "{id}" missing backend')
    if kind not in _BACKENDS_OF_QEMU:
        raise QMPError(f"'{kind}' is not a valid char driver name")
    if kind not in _DATA:
        raise QMPError(f"chardev backend '{kind}' is not simulated by qemu-sim")
    for key in _NOT_SIMULATED:
        if opts.get(key):
            raise QMPError(f"'{key}' of a chardev is not simulated by qemu-sim")
    return {"id": id, "backend": {"type": kind, "data": _DATA[kind](opts)}}


def _tcp(protocol: str, rest: str) -> dict[str, Any]:
    found = re.fullmatch(_HOST_AND_PORT, rest)
    if found is None:
        raise QMPError("")
    values = {"backend": "socket", "host": found[1], "port": found[2]}
    if protocol != "tcp":
        values[protocol] = True
    return {**values, **_values(found[3] or "", None)}


def _values(text: str, implied: str | None) -> dict[str, Any]:
    # Here, unlike in -chardev, QEMU takes a bare `server` or `nowait` without a word.
    return GROUP.typed(Pair(key, value) for key, value, _ in split(text, implied))


def _nothing(_opts: Opts) -> dict[str, Any]:
    return {}


def _file(opts: Opts) -> dict[str, Any]:
    path = opts.get("path")
    if path is None:
        raise QMPError("chardev: file: no filename given")
    data = {"out": path}
    if "input-path" in opts:
        data["in"] = opts["input-path"]
    return {**data, **_present(opts, ("append",))}


def _stdio(opts: Opts) -> dict[str, Any]:
    return _present(opts, ("signal",))


def _socket(opts: Opts) -> dict[str, Any]:
    server = opts.get("server", False)
    if "wait" in opts and not server:
        raise QMPError("'wait' option is incompatible with socket in client connect mode")
    data = {"addr": _address(opts), "server": server}
    if server:
        data["wait"] = opts.get("wait", True)
    if "delay" in opts or "nodelay" in opts:
        data["nodelay"] = opts.get("nodelay", not opts.get("delay", True))
    return data


def _address(opts: Opts) -> dict[str, Any]:
    """Return a SocketAddressLegacy."""
    if sum(key in opts for key in ("path", "fd", "host")) > 1:
        raise QMPError("None or one of 'path', 'fd' or 'host' option required.")
    if "path" in opts:
        data = {"path": opts["path"], **_present(opts, ("tight",))}
        return {"type": "unix", "data": data}
    if "host" in opts:
        if "port" not in opts:
            raise QMPError("chardev: socket: no port given")
        return {"type": "inet", "data": _present(opts, ("host", "port", "ipv4", "ipv6"))}
    return {"type": "fd", "data": {"str": _descriptor(opts.get("fd", ""))}}


def _descriptor(text: str) -> str:
    try:
        return str(parse_number("fd", text))
    except QMPError:
        raise QMPError(f"Unable to parse FD number {text}") from None


def _present(opts: Opts, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: opts[key] for key in keys if key in opts}


_DATA: dict[str, Callable[[Opts], dict[str, Any]]] = {
    "null": _nothing,
    "file": _file,
    "stdio": _stdio,
    "socket": _socket,
}
