"""VNC displays, their passwords and their clients.

QEMU: qapi/ui.json, ui/ui-qmp-cmds.c, ui/vnc.c
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any

from qemu_sim.clock import SECOND
from qemu_sim.commands.registry import Monitor, command, named_fds
from qemu_sim.errors import DeviceNotActive, QMPError
from qemu_sim.fds import close_all
from qemu_sim.io import address as addresses
from qemu_sim.machine.picture import FORMATS

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine
    from qemu_sim.vnc.display import VncDisplay

_NEWER = (8, 0, 0)  # than 7.2
_TIME = re.compile(r"\+?[0-9]+")


@command("query-vnc")
def query_vnc(machine: Machine) -> dict[str, Any]:
    """Tell of the first display."""
    display = machine.displays.find(None)
    servers = display.servers if display is not None else []
    if display is None or not servers:
        return {"enabled": False}
    server = dict(servers[0])
    del server["websocket"]
    return {"enabled": True, "clients": _clients(display), **server}


@command("query-vnc-servers")
def query_vnc_servers(machine: Machine) -> list[dict[str, Any]]:
    """Tell of all displays, the newest first."""
    return [
        {
            "id": display.id,
            "auth": display.auth,
            "server": display.servers,
            "clients": _clients(display),
        }
        for display in machine.displays.values()
    ]


@command("set_password")
def set_password(
    machine: Machine,
    *,
    protocol: str,
    password: str,
    connected: str = "keep",
    display: str | None = None,
) -> None:
    """Change the password of a display."""
    if protocol == "spice":
        raise DeviceNotActive("SPICE is not in use")
    if connected != "keep":
        text = "parameter 'connected' must be 'keep' when 'protocol' is 'vnc'"
        raise QMPError(text if _is_newer(machine) else "Invalid parameter 'connected'")
    _set_password(machine, display, password)


@command("change-vnc-password")
def change_vnc_password(machine: Machine, *, password: str) -> None:
    """Change the password of the first display."""
    _set_password(machine, None, password)


@command("expire_password")
def expire_password(
    machine: Machine, *, protocol: str, time: str, display: str | None = None
) -> None:
    """Say until when a password counts."""
    if time not in ("now", "never") and not _TIME.fullmatch(time) and _is_newer(machine):
        raise QMPError(f"Parameter 'time' doesn't take value '{time}'")
    if protocol == "spice":
        raise DeviceNotActive("SPICE is not in use")
    found = machine.displays.find(display)
    if found is None:
        raise QMPError("Could not set password expire time")
    found.expire_password(_moment(machine, time))


@command("display-update")
def display_update(
    machine: Machine, *, type: str, addresses: list[dict[str, Any]] | None = None
) -> None:
    """Have the first display listen elsewhere."""
    del type  # there is one that can be updated
    display = machine.displays.find(None)
    if display is None:
        raise QMPError("Can not find vnc display")
    if addresses is not None:
        display.move([_stream_address(each) for each in addresses])


@command("display-reload")
def display_reload(machine: Machine, *, type: str, tls_certs: bool = False) -> None:
    """Reload the certificates of the first display, which has none."""
    del type
    if tls_certs and machine.displays.find(None) is None:
        raise QMPError("Can not find vnc display")
    if tls_certs:
        raise QMPError("vnc tls is not enabled")


@command("add_client", monitor=True)
def add_client(
    machine: Machine, monitor: Monitor, *, protocol: str, fdname: str, **how: bool
) -> None:
    """Have the first display serve who is at the other end of a socket."""
    fds = named_fds(monitor, fdname)
    display = machine.displays.find(None)
    is_socket = bool(fds) and stat.S_ISSOCK(os.fstat(fds[0].fileno()).st_mode)
    if protocol == "vnc" and display is not None and is_socket:
        display.adopt(fds[0], trusted=how.get("skipauth", False))
        return
    close_all(fds)
    raise QMPError(f"not simulated by qemu-sim: add_client with protocol '{protocol}'")


@command("screendump")
def screendump(
    machine: Machine,
    *,
    filename: str,
    device: str | None = None,
    head: int | None = None,
    format: str = "ppm",
) -> None:
    """Write what a screen shows to a file."""
    if device is None and head is not None:
        raise QMPError("'head' must be specified together with 'device'")
    machine.displays.check_screen(device, head or 0)
    try:
        fd = machine.fdsets.open(filename, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    except QMPError as error:
        words = "Could not create" if _is_newer(machine) else "failed to open file"
        raise QMPError(str(error).replace("Could not open", words, 1)) from None
    with fd, open(fd.fileno(), "wb", closefd=False) as file:
        file.write(FORMATS[format]())


def _clients(display: VncDisplay) -> list[dict[str, Any]]:
    return [client.info for client in display.clients]


def _set_password(machine: Machine, id: str | None, password: str) -> None:
    display = machine.displays.find(id)
    if display is not None and display.auth != "none":
        display.set_password(password)
    elif not _is_newer(machine):
        raise QMPError("Could not set password")
    elif display is None:
        raise QMPError("No VNC display is present", hint="To enable it, use '-vnc ...'")
    else:
        hint = "To enable it, use '-vnc ...,password-secret=ID'"
        raise QMPError("VNC password authentication is disabled", hint=hint)


def _moment(machine: Machine, time: str) -> int | None:
    """Return when a password ends, in nanoseconds since the epoch; never is None."""
    if time == "never":
        return None
    seconds = int(time) if _TIME.fullmatch(time) else 0
    return seconds * SECOND + (machine.clock.wall() if time.startswith("+") else 0)


def _stream_address(given: dict[str, Any]) -> addresses.StreamAddress:
    address = addresses.from_qapi(given)
    if isinstance(address, addresses.FdAddress):
        raise QMPError("a VNC display on a descriptor is not simulated by qemu-sim")
    return address


def _is_newer(machine: Machine) -> bool:
    return machine.profile.version >= _NEWER
