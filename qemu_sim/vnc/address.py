"""Where a VNC display listens, as -vnc says it.

QEMU: ui/vnc.c (vnc_display_get_address)
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.io.address import InetAddress, StreamAddress, UnixAddress

_UNIX = "unix:"
_FIRST_PORT = 5900
_MOST = 65535


def display_address(text: str, options: Mapping[str, Any]) -> StreamAddress:
    """Return the address that `unix:PATH` or `HOST:DISPLAY` means. Raises QMPError.

    `options` may hold `to`, the last display to try, `ipv4`, `ipv6` and `reverse`, with which
    the display is a port.
    """
    if text.startswith(_UNIX):
        return UnixAddress(text.removeprefix(_UNIX))
    host, colon, display = text.rpartition(":")
    if not colon:
        raise QMPError("no vnc port specified")
    if re.fullmatch(r"\[.*\]", host):
        host = host[1:-1]
    base = 0 if options.get("reverse") else _FIRST_PORT
    last = base + options["to"] if "to" in options else None
    port = str(base + _number(display, base))
    return InetAddress(host, port, last, options.get("ipv4"), options.get("ipv6"))


def _number(display: str, base: int) -> int:
    if not re.fullmatch(r"[0-9]+", display):
        raise QMPError(f"can't convert to a number: {display}")
    number = int(display)
    if base + number > _MOST:
        raise QMPError(f"port {display} out of range")
    return number


def basic_info(name: Any, family: int) -> dict[str, Any]:
    """Return the VncBasicInfo of a socket's own or its peer's name."""
    if family == socket.AF_UNIX:
        path = name if isinstance(name, str) else ""
        return {"family": "unix", "service": path, "host": "", "websocket": False}
    kind = "ipv6" if family == socket.AF_INET6 else "ipv4"
    return {"family": kind, "service": str(name[1]), "host": name[0], "websocket": False}
