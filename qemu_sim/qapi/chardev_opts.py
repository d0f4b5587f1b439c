"""Chardevs as -chardev writes them, made into arguments of `chardev-add`.

QEMU: chardev/char.c (qemu_chardev_opts), chardev/char-socket.c (qemu_chr_parse_socket) and
the parse functions of the other types

The older spelling of `-qmp` and its like is chardev_text.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.opts import Group, as_text, parse_bool, parse_number
from qemu_sim.qapi.sizes import parse_size

Opts = Mapping[str, Any]
Version = tuple[int, int, int]

_KINDS = {
    **dict.fromkeys(
        (
            *("backend", "path", "host", "port", "fd", "localaddr", "localport", "tls-creds"),
            *("tls-authz", "name", "chardev", "logfile"),
        ),
        as_text,
    ),
    **dict.fromkeys(
        (
            *("ipv4", "ipv6", "wait", "server", "delay", "nodelay", "telnet", "tn3270"),
            *("websocket", "mux", "signal", "append", "logappend", "mouse", "clipboard"),
            *("abstract", "tight"),
        ),
        parse_bool,
    ),
    **dict.fromkeys(("to", "width", "height", "cols", "rows", "debug"), parse_number),
    "size": parse_size,
}
_HUB_KEYS = tuple(f"chardevs.{number}" for number in range(4))
_NEWER = {
    "reconnect-ms": parse_number,
    **dict.fromkeys(("input-path", "encoding", *_HUB_KEYS), as_text),
}
_OLDER = {"reconnect": parse_number}
_NEWER_SINCE = (8, 0, 0)
_NEWEST = (11, 1, 0)
ALIASES = {"tty": "serial", "parport": "parallel"}  # until 9.0

_IN_MODULES = ("dbus", "spicevmc", "spiceport")


def group(version: Version = _NEWEST) -> Group:
    """Return how the options of -chardev are read by a QEMU of that version."""
    more = _NEWER if version >= _NEWER_SINCE else _OLDER
    return Group("chardev", implied="backend", kinds={**_KINDS, **more})


def shared(id: str, opts: Opts) -> list[dict[str, Any]]:
    """Return the chardevs to make, one that `mux=on` shares first. Raises QMPError."""
    if not opts.get("mux"):
        return [chardev_arguments(id, opts)]
    base = chardev_arguments(f"{id}-base", opts)
    return [base, chardev_arguments(id, {"backend": "mux", "chardev": f"{id}-base"})]


def chardev_arguments(id: str, opts: Opts) -> dict[str, Any]:
    """Return `{"id": …, "backend": {"type": …, "data": …}}`. Raises QMPError in QEMU's words."""
    kind = opts.get("backend")
    if kind is None:
        raise QMPError(f'chardev: "{id}" missing backend')
    if kind not in _DATA and kind not in _IN_MODULES:
        raise QMPError(f"'{kind}' is not a valid char driver name")
    if "encoding" in opts and kind != "vc":
        raise QMPError(f"chardev '{id}' does not support encoding option")
    data = _DATA[kind](opts) if kind in _DATA else {}
    data |= _present(opts, ("logfile", "logappend"))
    return {"id": id, "backend": {"type": kind, "data": data}}


def _file(opts: Opts) -> dict[str, Any]:
    path = opts.get("path")
    if path is None:
        raise QMPError("chardev: file: no filename given")
    data = {"out": path}
    if "input-path" in opts:
        data["in"] = opts["input-path"]
    return {**data, **_present(opts, ("append",))}


def _socket(opts: Opts) -> dict[str, Any]:
    server = opts.get("server", False)
    if "wait" in opts and not server:
        raise QMPError("'wait' option is incompatible with socket in client connect mode")
    data = {"addr": _address(opts), "server": server}
    if server:
        data["wait"] = opts.get("wait", True)
    data |= _present(opts, ("telnet", "tn3270", "websocket", "tls-creds", "tls-authz"))
    data |= _present(opts, ("reconnect", "reconnect-ms"))
    if "delay" in opts or "nodelay" in opts:
        data["nodelay"] = opts.get("nodelay", not opts.get("delay", True))
    return data


def _address(opts: Opts) -> dict[str, Any]:
    """Return a SocketAddressLegacy."""
    if sum(key in opts for key in ("path", "fd", "host")) > 1:
        raise QMPError("None or one of 'path', 'fd' or 'host' option required.")
    if "path" in opts:
        data = {"path": opts["path"], **_present(opts, ("abstract", "tight"))}
        return {"type": "unix", "data": data}
    if "host" in opts:
        if "port" not in opts:
            raise QMPError("chardev: socket: no port given")
        return {"type": "inet", "data": _present(opts, ("host", "port", "to", "ipv4", "ipv6"))}
    return {"type": "fd", "data": {"str": _descriptor(opts.get("fd", ""))}}


def _descriptor(text: str) -> str:
    try:
        return str(parse_number("fd", text))
    except QMPError:
        raise QMPError(f"Unable to parse FD number {text}") from None


def _present(opts: Opts, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: opts[key] for key in keys if key in opts}


def _device(name: str) -> Callable[[Opts], dict[str, Any]]:
    def data(opts: Opts) -> dict[str, Any]:
        if "path" not in opts:
            raise QMPError(f"chardev: {name}: no device path given")
        return {"device": opts["path"]}

    return data


def _udp(opts: Opts) -> dict[str, Any]:
    if not opts.get("port"):
        raise QMPError("chardev: udp: remote port not specified")
    host = opts.get("host") or "localhost"
    remote = {"host": host, "port": opts["port"], **_present(opts, ("ipv4", "ipv6"))}
    data = {"remote": {"type": "inet", "data": remote}}
    if "localaddr" in opts or "localport" in opts:
        local = {"host": opts.get("localaddr", ""), "port": opts.get("localport") or "0"}
        data["local"] = {"type": "inet", "data": local}
    return data


def _mux(opts: Opts) -> dict[str, Any]:
    if "chardev" not in opts:
        raise QMPError("chardev: mux: no chardev given")
    return {"chardev": opts["chardev"]}


def _hub(opts: Opts) -> dict[str, Any]:
    return {"chardevs": [opts[key] for key in _HUB_KEYS if key in opts]}


def _members(*keys: str) -> Callable[[Opts], dict[str, Any]]:
    return lambda opts: _present(opts, keys)


_DATA: dict[str, Callable[[Opts], dict[str, Any]]] = {
    **dict.fromkeys(("null", "msmouse", "wctablet", "braille", "testdev"), _members()),
    **dict.fromkeys(("ringbuf", "memory"), _members("size")),
    "vc": _members("width", "height", "cols", "rows"),
    "qemu-vdagent": _members("mouse", "clipboard"),
    "pty": _members("path"),
    "stdio": _members("signal"),
    "file": _file,
    "pipe": _device("pipe"),
    "serial": _device("serial/tty"),
    "parallel": _device("parallel"),
    "socket": _socket,
    "udp": _udp,
    "mux": _mux,
    "hub": _hub,
}
