"""Our own settings: `-sim key=value[,key=value…]`, repeatable; schemas/sim.json describes them.

The text has QemuOpts' syntax without its bare keys. Of a key given twice the last counts,
except that the guest's addresses add up.
"""

from __future__ import annotations

from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.opts import Kind, as_text, parse_bool, split


def _seconds(key: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise QMPError(f"Parameter '{key}' expects a positive number of seconds")
    return seconds


def _address(family_name: str) -> Kind:
    def read(key: str, value: str) -> str:
        import socket  # noqa: PLC0415 - needed only when somebody gives an address

        family = getattr(socket, family_name)
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, value))
        except OSError:
            raise QMPError(f"Parameter '{key}' expects an address, not '{value}'") from None

    return read


SETTINGS: dict[str, Kind] = {
    "profile": as_text,
    "extensions": parse_bool,
    "guest-ipv4": _address("AF_INET"),
    "guest-ipv6": _address("AF_INET6"),
    "phase-timeout": _seconds,
    "check-peer": parse_bool,
    "wire-log": as_text,
    "mqtt": as_text,
}
LISTS = ("guest-ipv4", "guest-ipv6")


def parse_settings(text: str, into: dict[str, Any]) -> None:
    """Add the settings in `text` to `into`. Raises QMPError."""
    for key, value, bare in split(text):
        if bare is not None:
            raise QMPError(f"Expected '=' after parameter '{key}'")
        read = SETTINGS.get(key)
        if read is None:
            raise QMPError(f"Invalid parameter '{key}'")
        if key in LISTS:
            into.setdefault(key, []).append(read(key, value))
        else:
            into[key] = read(key, value)
