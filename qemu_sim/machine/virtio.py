"""The virtio devices of a machine, as x-query-virtio and its like tell of them.

QEMU: hw/virtio/virtio-qmp.c, hw/virtio/virtio.c

What a device offers is what the recorded one of its type offered. QEMU 11.1 does not survive
x-query-virtio-status, so that for newer ones what 7.2 offers is told, in their words. The
simulated guest drives NICs, and negotiates no more than it needs; other devices have no driver.
Its rings are not in guest RAM, so nothing is told of those in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.key_order import as_put_in
from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.glib_order import ordered
from qemu_sim.qapi.plugged_lines import ID

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.machine import Machine

Answer = dict[str, Any]

_NEWER = (8, 0, 0)  # than 7.2
_SURVIVOR = "7.2"
_BEHIND = "/virtio-backend"
_TYPES = ("virtio", "vhost")
_RING_RESET = "VIRTIO_F_RING_RESET: Driver can reset a queue individually"
_RING_RESET_BIT = 1 << 40  # 7.2 has no name for it
_AFTER_RING_RESET = "VIRTIO_F_VERSION_1: Device compliant for v1 spec (legacy)"
_DRIVEN = (
    "VIRTIO_CONFIG_S_ACKNOWLEDGE: Valid virtio device found",
    "VIRTIO_CONFIG_S_DRIVER: Guest OS compatible with device",
    "VIRTIO_CONFIG_S_FEATURES_OK: Feature negotiation complete",
    "VIRTIO_CONFIG_S_DRIVER_OK: Driver setup and ready",
)
_ALIGNMENT = 4096  # of a legacy ring


def query(machine: Machine) -> list[dict[str, str]]:
    """Return path and name of each. Raises QMPError in the words of newer QEMUs if none."""
    is_newer = machine.profile.version >= _NEWER
    found = [each for each in machine.board.devices if _is_virtio(each)]
    if is_newer and not found:
        raise QMPError("No virtio devices found")
    in_order = _as_in_tree(found) if is_newer else reversed(found)
    return [{"name": _name(machine, each), "path": each.path + _BEHIND} for each in in_order]


def status(machine: Machine, path: str) -> Answer:
    """Return the VirtioStatus of the device at a path. Raises QMPError in QEMU's words."""
    realized = "realized " if machine.profile.version >= _NEWER else ""
    device = _find(machine, path, f"{realized}VirtIODevice")
    facts = _facts(machine, device)
    if "virtio" not in facts:
        facts = profiles.load(_SURVIVOR).plugged[_place(machine, device)].get(device.TYPE, {})
    if "virtio" not in facts:
        raise QMPError(f"not simulated by qemu-sim: x-query-virtio-status of '{device.TYPE}'")
    recorded: Answer = as_put_in(facts["virtio"])
    offered = _spoken(machine, recorded["host-features"])
    driven = device.driver_features if _has_guest(machine) else None
    return {
        **recorded,
        "bus-name": recorded["bus-name"].replace(ID, device.id or ""),
        "num-vqs": len(_sizes(machine, device)),
        "vm-running": machine.is_running,
        "host-features": offered,
        "guest-features": _chosen(offered, driven or ()),
        "status": {"statuses": list(_DRIVEN if driven is not None else ())},
        "started": driven is not None,
    }


def queue_status(machine: Machine, path: str, queue: int) -> Answer:
    """Return the VirtQueueStatus of one queue. Raises QMPError in QEMU's words."""
    device = _find(machine, path, "VirtIODevice")
    size = _size(machine, device, queue)
    _check_unused(machine, device)
    zeros = ("inuse", "vring-desc", "vring-avail", "vring-used", "last-avail-idx")
    return {
        "name": _name(machine, device),
        "queue-index": queue,
        **dict.fromkeys((*zeros, "shadow-avail-idx", "used-idx", "signalled-used"), 0),
        "vring-num": size,
        "vring-num-default": size,
        "vring-align": _ALIGNMENT,
        "signalled-used-valid": False,
    }


def check_element(machine: Machine, path: str, queue: int) -> None:
    """Raise QMPError in QEMU's words: no queue that could be told of has an element."""
    device = _find(machine, path, "VirtIO device")
    _size(machine, device, queue)
    _check_unused(machine, device)
    raise QMPError("Region caches not initialized")


def check_vhost(machine: Machine, path: str) -> None:
    """Raise QMPError in QEMU's words: vhost devices have not started, or cannot be told of."""
    device = _find(machine, path, "VirtIODevice")
    backend = device.properties.get("netdev", "")
    netdev = machine.board.netdevs.get(backend)
    if device.TYPE.startswith("vhost") or (netdev is not None and netdev.TYPE == "vhost-user"):
        _check_unused(machine, device)
    raise QMPError("Error: vhost device has not started yet")


def _is_virtio(device: Device) -> bool:
    return device.IS_PROXY or (device.TYPE.startswith(_TYPES) and device.TYPE.endswith("-pci"))


def _as_in_tree(devices: list[Device]) -> list[Device]:
    """Return devices in the order in which newer QEMUs find them in the object tree, reversed."""
    by_name = {device.path: device for device in devices if device.id is None}
    named = {device.id: device for device in devices if device.id is not None}
    anonymous = {path.rpartition("/")[2]: device for path, device in by_name.items()}
    return [
        *(anonymous[name] for name in reversed(ordered(anonymous))),
        *(named[name] for name in reversed(ordered(named))),
    ]


def _find(machine: Machine, path: str, what: str) -> Device:
    for device in machine.board.devices:
        if _is_virtio(device) and path == device.path + _BEHIND:
            return device
    raise QMPError(f"Path {path} is not a {what}")


def _place(machine: Machine, device: Device) -> str:
    return machine.board.buses.of(device).record


def _facts(machine: Machine, device: Device) -> Answer:
    found: Answer = machine.profile.plugged.get(_place(machine, device), {}).get(device.TYPE, {})
    return found


def _name(machine: Machine, device: Device) -> str:
    name: str = _facts(machine, device).get("name", "virtio-" + device.TYPE.split("-")[-2])
    return name


def _sizes(machine: Machine, device: Device) -> list[int]:
    """Return the sizes of a device's queues, as many as its netdev or its properties make them."""
    recorded: list[int] | None = _facts(machine, device).get("queues")
    if recorded is None:
        raise QMPError(f"not simulated by qemu-sim: virtqueues of '{device.TYPE}'")
    given, cpus = device.properties, machine.options.topology.cpus
    match _name(machine, device):
        case "virtio-net":
            netdev = machine.board.netdevs.get(given.get("netdev", ""))
            pair = [
                given.get("rx_queue_size", recorded[0]),
                given.get("tx_queue_size", recorded[1]),
            ]
            return pair * (1 if netdev is None else netdev.queues) + recorded[2:]
        case "virtio-blk":
            return [given.get("queue-size", recorded[0])] * given.get("num-queues", cpus)
        case "virtio-scsi":
            return [given.get("virtqueue_size", recorded[0])] * (given.get("num_queues", cpus) + 2)
        case "virtio-serial":
            return recorded[: 2 * given.get("max_ports", len(recorded)) + 2]
    return recorded


def _size(machine: Machine, device: Device, queue: int) -> int:
    sizes = _sizes(machine, device)
    if queue >= len(sizes):
        raise QMPError(f"Invalid virtqueue number {queue}")
    return sizes[queue]


def _has_guest(machine: Machine) -> bool:
    """Whether the guest has been started, so that its drivers are there."""
    return machine.execution.found is not None


def _check_unused(machine: Machine, device: Device) -> None:
    if device.driver_features is not None and _has_guest(machine):
        raise QMPError(f"not simulated by qemu-sim: the rings of '{device.name}' in use")


def _spoken(machine: Machine, features: Answer) -> Answer:
    """Return features in the words of newer QEMUs, which have one name more."""
    unknown = features.get("unknown-dev-features", 0)
    if machine.profile.version < _NEWER or not unknown & _RING_RESET_BIT:
        return features
    spoken = dict(features)
    del spoken["unknown-dev-features"]
    at = features["transports"].index(_AFTER_RING_RESET)
    spoken["transports"] = [*features["transports"][:at], _RING_RESET, *features["transports"][at:]]
    return spoken


def _chosen(offered: Answer, names: tuple[str, ...]) -> Answer:
    return {
        kind: [each for each in offered[kind] if each.partition(":")[0] in names]
        for kind in ("dev-features", "transports")
    }
