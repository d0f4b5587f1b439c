"""Chardevs.

QEMU: qapi/char.json, chardev/char.c
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import Monitor, command, named_fds
from qemu_sim.errors import QMPError
from qemu_sim.fds import close_all
from qemu_sim.qapi.glib_order import ordered

if TYPE_CHECKING:
    from qemu_sim.backends.chardev_ringbuf import ChardevRingbuf
    from qemu_sim.machine.chardevs import Chardevs
    from qemu_sim.machine.machine import Machine


_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=\n]")


@command("chardev-add", monitor=True)
async def chardev_add(
    machine: Machine, monitor: Monitor, *, id: str, backend: dict[str, Any]
) -> dict[str, Any]:
    """Make a chardev; of a pseudo terminal the name is returned."""
    return await _add(machine.board.chardevs, monitor, id, backend)


@command("chardev-change", monitor=True)
async def chardev_change(
    machine: Machine, monitor: Monitor, *, id: str, backend: dict[str, Any]
) -> dict[str, Any]:
    """Put another chardev in the place of one; as in QEMU that is gone even if this fails."""
    chardevs = machine.board.chardevs
    chardevs.check_change(id)
    chardevs.remove(id)
    return await _add(chardevs, monitor, id, backend)


@command("chardev-remove")
def chardev_remove(machine: Machine, *, id: str) -> None:
    """Remove a chardev."""
    machine.board.chardevs.remove(id)


@command("query-chardev")
def query_chardev(machine: Machine) -> list[dict[str, Any]]:
    """Return all chardevs, in the order of QEMU's table of them."""
    chardevs = machine.board.chardevs
    return [
        {
            "label": chardev.id,
            "filename": chardev.filename,
            "frontend-open": chardevs.frontend_open(chardev.id),
        }
        for chardev in (chardevs[id] for id in reversed(ordered(chardevs)))
    ]


@command("ringbuf-write")
def ringbuf_write(machine: Machine, *, device: str, data: str, format: str = "utf8") -> None:
    """Append to a ring buffer, as a front end would."""
    ringbuf = _ringbuf(machine, device)
    if format == "base64":
        ringbuf.write(_decode_base64(data))
    else:
        ringbuf.write(data.encode("utf-8", "surrogatepass"))


@command("ringbuf-read")
def ringbuf_read(machine: Machine, *, device: str, size: int, format: str = "utf8") -> str:
    """Take the oldest bytes of a ring buffer; what is no UTF-8 cannot be told as such."""
    ringbuf = _ringbuf(machine, device)
    if size <= 0:
        raise QMPError("size must be greater than zero")
    data = ringbuf.read(size)
    if format == "base64":
        return b64encode(data).decode()
    return data.partition(b"\0")[0].decode("utf-8", "replace")  # a string of C ends there


async def _add(
    chardevs: Chardevs, monitor: Monitor, id: str, backend: dict[str, Any]
) -> dict[str, Any]:
    options = backend.get("data", {})
    address = options.get("addr", {})
    name = address["data"]["str"] if address.get("type") == "fd" else None
    fds = []
    try:
        chardevs.check(backend["type"], id)
        fds = named_fds(monitor, name)
        return (await chardevs.add(backend["type"], id, options, fds)).details
    except QMPError as error:
        close_all(fds)
        raise QMPError(f"Failed to add chardev '{id}': {error}") from None
    except BaseException:
        close_all(fds)
        raise


def _ringbuf(machine: Machine, id: str) -> ChardevRingbuf:
    from qemu_sim.backends.chardev_ringbuf import ChardevRingbuf  # noqa: PLC0415 - few have one

    found = machine.board.chardevs.get(id)
    if found is None:
        raise QMPError(f"Device '{id}' not found")
    if not isinstance(found, ChardevRingbuf):
        raise QMPError(f"{id} is not a ringbuf device")
    return found


def _decode_base64(text: str) -> bytes:
    """Decode as GLib does: what is left of the last four characters is lost."""
    if _NOT_BASE64.search(text):
        raise QMPError("Base64 data contains invalid characters")
    text = text.replace("\n", "")
    fours = (text[at : at + 4] for at in range(0, len(text) // 4 * 4, 4))
    return b"".join(_decode_four(four) for four in fours)


def _decode_four(four: str) -> bytes:
    three = b64decode(four.replace("=", "A"))
    return three[:1] + three[1:2] * (four[2] != "=") + three[2:] * (four[3] != "=")
