"""NBD servers by the names that they have as files, and back.

QEMU: block/nbd.c (nbd_parse_uri, nbd_parse_filename, nbd_refresh_filename)

    nbd:HOST:PORT[:exportname=NAME]          nbd://HOST[:PORT]/[NAME]
    nbd:unix:PATH[:exportname=NAME]          nbd+unix:///[NAME]?socket=PATH
"""

from __future__ import annotations

from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.io.address import inet_address, unix_address

_PORT = "10809"
_EXPORT = ":exportname="
_SCHEMES = ("nbd", "nbd+tcp", "nbd+unix")


def is_nbd(filename: str) -> bool:
    """Whether the name is that of an export."""
    return filename.partition(":")[0] in _SCHEMES


def options(filename: str) -> dict[str, Any]:
    """Return the BlockdevOptions of the export. Raises QMPError in QEMU's words."""
    kind, _, rest = filename.partition(":")
    if rest.startswith("//"):
        server, export = _of_uri(filename)
    elif kind == "nbd":
        address, _, export = rest.partition(_EXPORT)
        server = _of_address(address)
    else:
        raise QMPError("No valid URL specified")
    return {"driver": "nbd", "server": server, **({"export": export} if export else {})}


def filename(server: dict[str, Any], export: str) -> str:
    """Return the name of an export; "" where it has none."""
    if server["type"] == "unix":
        return f"nbd+unix://{f'/{export}' if export else ''}?socket={server['path']}"
    if server["type"] == "inet":
        return f"nbd://{server['host']}:{server['port']}{f'/{export}' if export else ''}"
    return ""


def _of_uri(uri: str) -> tuple[dict[str, Any], str]:
    from urllib.parse import parse_qs, unquote, urlsplit  # noqa: PLC0415 - many files have a path

    parts = urlsplit(uri)
    export = unquote(parts.path.removeprefix("/"))
    if parts.scheme == "nbd+unix":
        paths = parse_qs(parts.query).get("socket", [])
        if parts.netloc or len(paths) != 1:
            raise QMPError("No valid URL specified")
        return {"type": "unix", "path": paths[0]}, export
    if parts.query or not parts.hostname:
        raise QMPError("No valid URL specified")
    return {"type": "inet", "host": parts.hostname, "port": str(parts.port or _PORT)}, export


def _of_address(address: str) -> dict[str, Any]:
    if not address:
        raise QMPError("NBD server address missing")
    kind, _, path = address.partition(":")
    return (unix_address(path) if kind == "unix" else inet_address(address)).to_qapi()
