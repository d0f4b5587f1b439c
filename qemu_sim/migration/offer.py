"""The offer of a hand-over: what the source puts in it, and how the destination judges it.

    {"nonce": inode of the handshake descriptor,
     "ram": {"size": bytes, "shared": bool},
     "devices": [{"id", "path", "required", "type", "identity"} to be transferred,
                 {"id", "path", "required", "reopen": reason} not to be transferred, …]}

The handshake descriptor follows, then guest RAM if it is shared.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError, WireError
from qemu_sim.fds import Fd
from qemu_sim.migration.transfer import Entry, Plan, switched_off

if TYPE_CHECKING:
    from qemu_sim.migration.transfer import Transferable
    from qemu_sim.virtio.memory import GuestMemory


def handshake() -> Fd:
    """Return a descriptor whose inode proves that the channel really carries descriptors.

    A relay between the two ends passes every check of the socket, and loses them.
    """
    return Fd(os.memfd_create("qemu-sim-handshake", os.MFD_CLOEXEC))


def make(plan: Plan, memory: GuestMemory, nonce: Fd) -> dict[str, Any]:
    """Return the offer of `plan`."""
    return {
        "nonce": _inode(nonce),
        "ram": {"size": memory.size, "shared": memory.shared},
        "devices": [_device(entry) for entry in plan.entries],
    }


def check(offer: dict[str, Any]) -> None:
    """Raise WireError unless the offer has its shape."""
    match offer:
        case {"transfer": False}:
            return
        case {
            "nonce": int(),
            "ram": {"size": int(), "shared": bool()},
            "devices": list(devices),
        } if all(_has_shape(device) for device in devices):
            return
    raise WireError("malformed offer of a backend transfer")


def check_handshake(offer: dict[str, Any], nonce: Fd) -> None:
    """Raise MigrationError unless this is the descriptor that the source sent."""
    if _inode(nonce) != offer["nonce"]:
        raise MigrationError("the handshake descriptor is not the one the source sent")


def check_ram(offer: dict[str, Any], memory: GuestMemory) -> None:
    """Raise MigrationError, naming both, unless the source's RAM is like ours."""
    there, here = offer["ram"], {"size": memory.size, "shared": memory.shared}
    if {"size": there["size"], "shared": there["shared"]} != here:
        raise MigrationError(
            f"guest RAM of {_words(there)} on the source, {_words(here)} on the destination"
        )


def judge(
    offer: dict[str, Any], devices: Mapping[str, Transferable], plan: Plan, *, default_on: bool
) -> None:
    """Enter into `plan` what becomes of each device; `devices` are ours by QOM path.

    `default_on`: what backend-transfer=auto means here. Raises MigrationError for a
    required device that cannot be taken, and for one that we do not have.
    """
    for offered in offer["devices"]:
        device = devices.get(offered["path"])
        if device is None:
            raise MigrationError(f"Device '{offered['path']}' not found on the destination")
        entry = Entry(device, required=bool(offered.get("required")))
        plan.entries.append(entry)
        reason = offered.get("reopen") or _objection(device, offered, default_on or entry.required)
        if reason is None:
            continue
        if entry.required:
            raise MigrationError(entry.refuse(reason))
        entry.reopen(reason)


def _objection(device: Transferable, offered: dict[str, Any], default_on: bool) -> str | None:
    backend = device.backend
    if backend is None:
        return "no attached backend on the destination"
    if offered.get("type") != backend.TYPE:
        return f"backend type {offered.get('type')} on the source, {backend.TYPE} here"
    return (
        switched_off(device, default_on)
        or backend.transfer_blocker()
        or backend.mismatch(offered.get("identity") or {})
    )


def _device(entry: Entry) -> dict[str, Any]:
    offered = {"id": entry.device.id, "path": entry.device.path, "required": entry.required}
    backend = entry.device.backend
    if entry.outcome is not None:
        return {**offered, "reopen": entry.reason}
    assert backend is not None
    return {**offered, "type": backend.TYPE, "identity": backend.identity()}


def _has_shape(device: Any) -> bool:
    return (
        isinstance(device, dict)
        and isinstance(device.get("path"), str)
        and isinstance(device.get("identity", {}), dict)
        and isinstance(device.get("reopen", ""), str)
    )


def _inode(fd: Fd) -> int:
    return os.fstat(fd.fileno()).st_ino


def _words(ram: dict[str, Any]) -> str:
    return f"{ram['size']} bytes ({'shared' if ram['shared'] else 'private'})"
