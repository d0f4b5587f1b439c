"""Chardevs as -qmp, -serial and their like write them: `unix:P,server=on`, `pty`, `udp:H:P`.

QEMU: chardev/char.c (qemu_chr_parse_compat)

They are turned into the options of -chardev.
"""

from __future__ import annotations

import re
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.chardev_opts import group
from qemu_sim.qapi.opts import Pair, split

_WHOLE_NAMES = ("null", "pty", "msmouse", "wctablet", "braille", "testdev", "stdio")
_HOST_AND_PORT = r"(?s)([^:]{0,64}):([^,]{1,32})(?:,(.*))?"
_TCP_PROTOCOLS = ("tcp", "telnet", "tn3270", "websocket")
_OF_A_PATH = {"unix": "socket", "file": "file", "pipe": "pipe"}
_UDP = r"(?s)([^:]{0,64}):([^@,]{1,32})(?:@([^:]{0,64}):([^,]{1,32}))?.*"
_PIXELS = r"(?s)(\d{1,7})x(\d{1,7}).*"
_CHARACTERS = r"(?s)(\d{1,7})Cx(\d{1,7})C.*"


def from_text(text: str) -> dict[str, Any]:
    """Return the options that `unix:P,server=on` and its like stand for.

    Raises QMPError in QEMU's words, with no words at all for a malformed address.
    """
    if text in _WHOLE_NAMES:
        return {"backend": text}
    protocol, colon, rest = text.partition(":")
    if colon and protocol in _TCP_PROTOCOLS:
        return _tcp(protocol, rest)
    if colon and protocol in _OF_A_PATH:
        return {"backend": _OF_A_PATH[protocol], **_values(rest, "path")}
    if colon and protocol == "udp":
        return _udp_values(rest)
    if text.startswith("/dev/"):
        kind = "parallel" if text.startswith("/dev/parport") else "serial"
        return {"backend": kind, "path": text}
    if protocol == "vc":
        return {"backend": "vc", **_size_of_vc(rest)}
    raise QMPError(f"'{text}' is not a valid char driver")


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
    return group().typed(Pair(key, value) for key, value, _ in split(text, implied))


def _udp_values(text: str) -> dict[str, Any]:
    found = re.fullmatch(_UDP, text)
    if found is None:
        raise QMPError("")
    values = {"backend": "udp", "host": found[1], "port": found[2]}
    if found[4] is not None:
        values |= {"localaddr": found[3], "localport": found[4]}
    return values


def _size_of_vc(text: str) -> dict[str, Any]:
    if not text:
        return {}
    for form, names in ((_CHARACTERS, ("cols", "rows")), (_PIXELS, ("width", "height"))):
        found = re.fullmatch(form, text)
        if found is not None:
            return dict(zip(names, map(int, found.groups()), strict=True))
    raise QMPError("")
