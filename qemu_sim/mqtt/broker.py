"""Where to publish: `mqtt://[user[:password]@]host[:port][/prefix]`."""

from __future__ import annotations

from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

from qemu_sim.machine.configuration import StartError

_PORT = 1883  # IANA, service name mqtt
_PREFIX = "qemu-sim"
_WILDCARDS = ("+", "#")


class Broker(NamedTuple):
    """A broker, and the topic below which everything is published."""

    host: str
    port: int
    username: str | None
    password: str | None
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL. Raises StartError, which never shows it: there may be a password in it."""
        parts = urlsplit(url)
        try:
            port = parts.port or _PORT
        except ValueError:
            raise StartError("-sim: mqtt: the port is not a number up to 65535") from None
        if parts.scheme != "mqtt" or not parts.hostname:
            raise StartError("-sim: mqtt: expected mqtt://[user[:password]@]host[:port][/prefix]")
        prefix = unquote(parts.path).strip("/") or _PREFIX
        if parts.query or parts.fragment or any(sign in prefix for sign in _WILDCARDS):
            raise StartError("-sim: mqtt: a topic prefix has no '?', '+' or '#'")
        return cls(
            parts.hostname,
            port,
            None if parts.username is None else unquote(parts.username),
            None if parts.password is None else unquote(parts.password),
            prefix,
        )

    def __str__(self) -> str:
        """Return host and port, which is all that a log may show."""
        return f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Broker {self}>"
