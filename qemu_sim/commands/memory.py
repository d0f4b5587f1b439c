"""Guest memory, and the iothreads.

QEMU: qapi/machine.json, hw/core/machine-qmp-cmds.c (query_memdev), iothread.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.backends.iothread import IOThread
from qemu_sim.backends.memory_backend import MemoryBackend
from qemu_sim.commands.registry import command
from qemu_sim.errors import DeviceNotActive, QMPError
from qemu_sim.qapi.glib_order import ordered

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_BACKEND = {
    "merge": True,
    "dump": True,
    "prealloc": False,
    "reserve": True,
    "host-nodes": [],
    "policy": "default",
}
_POLL_MAX = 32768  # iothread.c (IOTHREAD_POLL_MAX_NS_DEFAULT)
_POLL_TWICE = (11, 0, 0)  # newer than 7.2: grows and shrinks by two unless told, and weighs


@command("query-memory-size-summary")
def query_memory_size_summary(machine: Machine) -> dict[str, int]:
    """Return the size of RAM; none of it was plugged later."""
    base = 0 if machine.machine_type == "none" else machine.options.memory_size
    return {"base-memory": base, "plugged-memory": 0}


@command("query-memory-devices")
def query_memory_devices(_: Machine) -> list[dict[str, Any]]:
    """Return the memory devices: there is none, no such device is simulated."""
    return []


@command("query-memdev")
def query_memdev(machine: Machine) -> list[dict[str, Any]]:
    """Return the memory backends, in the order in which QEMU comes upon them."""
    objects = machine.board.objects
    found = {
        each.id: _BACKEND
        | {name: each.options[name] for name in _BACKEND if name in each.options}
        | {"id": each.id, "size": each.memory.size, "share": each.memory.shared}
        for each in objects.values()
        if isinstance(each, MemoryBackend)
    }
    ram = _own_ram(machine)
    if ram is not None:
        own = {"id": ram, "size": machine.options.memory_size, "share": False}
        found[ram] = _BACKEND | own
    return [found[id] for id in reversed(ordered([*objects, *found])) if id in found]


@command("query-iothreads")
def query_iothreads(machine: Machine) -> list[dict[str, Any]]:
    """Return the iothreads and the threads that stand for them."""
    objects = machine.board.objects
    is_new = machine.profile.version >= _POLL_TWICE
    tuned: dict[str, int] = {
        "poll-max-ns": _POLL_MAX,
        "poll-grow": 2 if is_new else 0,
        "poll-shrink": 2 if is_new else 0,
        "aio-max-batch": 0,
        **({"poll-weight": 3} if is_new else {}),
    }
    return [
        tuned
        | {name: each.options[name] for name in tuned if name in each.options}
        | {"id": each.id, "thread-id": each.thread_id}
        for each in (objects[id] for id in ordered(objects))
        if isinstance(each, IOThread)
    ]


@command("balloon")
def balloon(_machine: Machine, *, value: int) -> None:
    """Refuse: no balloon device is simulated."""
    del value
    raise DeviceNotActive("No balloon device has been activated")


@command("query-balloon")
def query_balloon(_: Machine) -> None:
    """Refuse: no balloon device is simulated."""
    raise DeviceNotActive("No balloon device has been activated")


def _own_ram(machine: Machine) -> str | None:
    """Return the ID of the backend that QEMU makes where none was named for the RAM."""
    if machine.machine_type == "none" or machine.options.memory_backend is not None:
        return None
    found: str | None = machine.profile.machines[machine.machine_type].get("default-ram-id")
    return found


@command("x-query-ramblock")
def x_query_ramblock(machine: Machine) -> dict[str, Any]:
    """Return where RAM blocks are; only a machine without any can say so here."""
    if machine.machine_type != "none":
        raise QMPError(f"not simulated by qemu-sim: x-query-ramblock of {machine.machine_type}")
    columns = (("Block Name", 24), ("PSize", 9), ("Offset", 20), ("Used", 19), ("Total", 19))
    head = "".join(f"{name:>{width}}" for name, width in columns)
    return {"human-readable-text": f"{head}{'HVA':>19}  RO\n"}
