"""HMP commands about the NBD server.

QEMU: block/monitor/block-hmp-cmds.c (hmp_nbd_server_start), util/qemu-sockets.c (socket_parse)
"""

from __future__ import annotations

from typing import Any

from qemu_sim.commands.hmp.table import Session, forward, hmp
from qemu_sim.errors import QMPError
from qemu_sim.io.address import inet_address, unix_address, vsock_address

forward("nbd_server_add", "nbd-server-add")
forward("nbd_server_stop", "nbd-server-stop")


@hmp("nbd_server_start")
async def nbd_server_start(
    session: Session, uri: str, *, all: bool = False, writable: bool = False
) -> str:
    """Listen, and export all drives at once if that is wanted."""
    if writable and not all:
        raise QMPError("-w only valid together with -a")
    address = _parse(uri)
    kind = address.pop("type")
    await session.execute("nbd-server-start", addr={"type": kind, "data": address})
    if not all:
        return ""
    try:
        for drive in session.machine.board.drives.listed():
            if drive.node is not None:
                await session.execute("nbd-server-add", device=drive.name, writable=writable)
    except QMPError:
        await session.execute("nbd-server-stop")
        raise
    return ""


@hmp("nbd_server_remove")
async def nbd_server_remove(session: Session, name: str, *, force: bool = False) -> str:
    """Withdraw an export."""
    await session.execute("nbd-server-remove", name=name, mode="hard" if force else "safe")
    return ""


def _parse(uri: str) -> dict[str, Any]:
    """Return the SocketAddress. Raises QMPError in QEMU's words."""
    kind, _, rest = uri.partition(":")
    if kind == "unix":
        if not rest:
            raise QMPError("invalid Unix socket address")
        return unix_address(rest).to_qapi()
    if kind == "fd":
        if not rest:
            raise QMPError("invalid file descriptor address")
        return {"type": "fd", "str": rest}
    if kind == "vsock":
        return vsock_address(rest).to_qapi()
    return inet_address(rest if kind == "tcp" else uri).to_qapi()
