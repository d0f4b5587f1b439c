"""HMP's "info" about virtio devices.

QEMU: hw/virtio/virtio-hmp-cmds.c
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from qemu_sim.commands.hmp.table import Session, hmp
from qemu_sim.errors import QMPError

_NEWER = (8, 0, 0)  # than 7.2
# What is printed of a status, and the member it is.
_STATUS = (
    *(("device_id", "device-id"), ("vhost_started", "vhost-started"), ("bus_name", "bus-name")),
    *(("broken", "broken"), ("disabled", "disabled")),
    ("disable_legacy_check", "disable-legacy-check"),
    *(("started", "started"), ("use_started", "use-started"), ("start_on_kick", "start-on-kick")),
    ("use_guest_notifier_mask", "use-guest-notifier-mask"),
    *(("vm_running", "vm-running"), ("num_vqs", "num-vqs"), ("queue_sel", "queue-sel")),
    *(("isr", "isr"), ("endianness", "device-endian")),
)
_QUEUE = (
    *(("queue_index", "queue-index"), ("inuse", "inuse"), ("used_idx", "used-idx")),
    ("signalled_used", "signalled-used"),
    ("signalled_used_valid", "signalled-used-valid"),
    *(("last_avail_idx", "last-avail-idx"), ("shadow_avail_idx", "shadow-avail-idx")),
)
_RING = (("num", "vring-num"), ("num_default", "vring-num-default"), ("align", "vring-align"))
_ADDRESSES = (("desc", "vring-desc"), ("avail", "vring-avail"), ("used", "vring-used"))


@hmp("info virtio")
async def virtio(session: Session) -> str:
    """Print the virtio devices with their paths."""
    found = await session.execute("x-query-virtio")
    if not found and session.machine.profile.version < _NEWER:
        return "No VirtIO devices\n"
    if not found:
        raise QMPError("No virtio devices found")
    return "".join(f"{each['path']} [{each['name']}]\n" for each in found)


@hmp("info virtio-status")
async def virtio_status(session: Session, path: str) -> str:
    """Print what a device offers, and what its driver has done."""
    found = await session.execute("x-query-virtio-status", path=path)
    lines = [f"{path}:", f"  {'device_name:':24} {found['name']} "]
    lines += [f"  {name + ':':24} {_plain(found[member])}" for name, member in _STATUS]
    lines += ["  status:", *_joined(found["status"]["statuses"])]
    for title in ("Guest", "Host", "Backend"):
        lines += [f"  {title} features:", *_features(found[f"{title.lower()}-features"])]
    return "".join(f"{line}\n" for line in lines)


@hmp("info virtio-queue-status")
async def virtio_queue_status(session: Session, path: str, queue: int) -> str:
    """Print where the ring of a queue is."""
    found = await session.execute("x-query-virtio-queue-status", path=path, queue=queue)
    lines = [f"{path}:", f"  {'device_name:':21} {found['name']}"]
    lines += [f"  {name + ':':21} {_plain(found[member])}" for name, member in _QUEUE]
    lines.append("  VRing:")
    lines += [f"    {name + ':':13} {found[member]}" for name, member in _RING]
    lines += [f"    {name + ':':13} 0x{found[member]:016x}" for name, member in _ADDRESSES]
    return "".join(f"{line}\n" for line in lines)


def _features(features: dict[str, Any]) -> Iterator[str]:
    yield from _joined(features["transports"])
    if features["dev-features"]:
        yield from _joined(features["dev-features"])
    if "unknown-dev-features" in features:
        yield f"  unknown-features(0x{features['unknown-dev-features']:016x})"


def _joined(names: Iterable[str]) -> Iterator[str]:
    yield ",\n".join(f"\t{name}" for name in names)


def _plain(value: Any) -> str:
    if value == "":
        return "(null)"
    return str(value).lower() if isinstance(value, bool) else str(value)
