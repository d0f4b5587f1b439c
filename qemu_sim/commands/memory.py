"""Guest memory, and the iothreads.

QEMU: qapi/machine.json, hw/core/machine-qmp-cmds.c (query_memdev), iothread.c
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from qemu_sim.backends.iothread import IOThread
from qemu_sim.backends.memory_backend import MemoryBackend
from qemu_sim.commands.registry import command
from qemu_sim.devices.virtio_balloon_pci import VirtioBalloonPci
from qemu_sim.errors import DeviceNotActive, QMPError
from qemu_sim.host_path import host_path
from qemu_sim.machine.cpu_properties import has_cpus
from qemu_sim.machine.memory_slots import dimms
from qemu_sim.qapi.glib_order import ordered

if TYPE_CHECKING:
    from io import BufferedWriter

    from qemu_sim.machine.machine import Machine
    from qemu_sim.virtio.memory import GuestMemory

_BACKEND = {
    "merge": True,
    "dump": True,
    "prealloc": False,
    "reserve": True,
    "host-nodes": [],
    "policy": "default",
}
_CHUNK = 1 << 20  # bytes
_POLL_MAX = 32768  # iothread.c (IOTHREAD_POLL_MAX_NS_DEFAULT)
_NAMED_AS_GIVEN = (8, 0, 0)  # newer than 7.2: a complaint names the argument, not the variable
_POLL_TWICE = (11, 0, 0)  # newer than 7.2: grows and shrinks by two unless told, and weighs


@command("query-memory-size-summary")
def query_memory_size_summary(machine: Machine) -> dict[str, int]:
    """Return the size of RAM, and of what was plugged."""
    base = machine.options.memory_size if machine.options.has_ram else 0
    return {"base-memory": base, "plugged-memory": sum(dimm.size for dimm in dimms(machine))}


@command("query-memory-devices")
def query_memory_devices(machine: Machine) -> list[dict[str, Any]]:
    """Return the memory devices, by their address."""
    return [{"type": dimm.KIND, "data": dimm.describe()} for dimm in dimms(machine)]


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
    # Monitors are objects, too, where there is such a type.
    monitors = machine.board.monitors
    others = [each.id for each in monitors if each.qom_type in machine.profile.types]
    ids = [*others, *objects, *found]
    return [found[id] for id in reversed(ordered(ids)) if id in found]


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
def balloon(machine: Machine, *, value: int) -> None:
    """Ask the guest for memory; it has no driver, and gives none."""
    _check_balloon(machine)
    if value <= 0:
        name = "value" if machine.profile.version >= _NAMED_AS_GIVEN else "target"
        raise QMPError(f"Parameter '{name}' expects a size")


@command("query-balloon")
def query_balloon(machine: Machine) -> dict[str, int]:
    """Return how much memory the guest has: all of it."""
    _check_balloon(machine)
    return {"actual": machine.options.memory_size}


def _check_balloon(machine: Machine) -> None:
    if not machine.board.has_type(VirtioBalloonPci.TYPE):
        raise DeviceNotActive("No balloon device has been activated")


@command("pmemsave")
def pmemsave(machine: Machine, *, val: int, size: int, filename: str) -> None:
    """Write guest memory from the address `val` on to a file; there are zeros where none is."""
    _save_memory(machine, val, size, filename)


@command("memsave")
def memsave(
    machine: Machine, *, val: int, size: int, filename: str, cpu_index: int | None = None
) -> None:
    """Do the same as a CPU sees it: these have no paging, so each address stands for itself."""
    count = machine.options.topology.cpus if has_cpus(machine) else 0
    if not 0 <= (cpu_index or 0) < count:
        raise QMPError("Parameter 'cpu-index' expects a CPU number")
    _save_memory(machine, val, size, filename)


def _save_memory(machine: Machine, start: int, size: int, filename: str) -> None:
    try:
        with open(host_path(filename), "wb") as file:
            _write_memory(machine, start, size, file)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise QMPError(f"Could not open '{filename}': {error.strerror}") from None
        raise QMPError(f"writing memory to '{filename}' failed") from None


def _write_memory(machine: Machine, start: int, size: int, file: BufferedWriter) -> None:
    memory = None if machine.machine_type == "none" else machine.board.memory
    end = start + size
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.truncate(size)  # what is behind RAM takes neither time nor space
        end = min(end, 0 if memory is None else memory.size)
    chunks = range(start, end, _CHUNK)
    file.writelines(_memory_at(memory, at, min(_CHUNK, end - at)) for at in chunks)


def _memory_at(memory: GuestMemory | None, start: int, size: int) -> bytes:
    there = 0 if memory is None else max(0, min(size, memory.size - start))
    return (memory.read(start, there) if memory and there else b"").ljust(size, b"\0")


def _own_ram(machine: Machine) -> str | None:
    """Return the ID of the backend that QEMU makes where none was named for the RAM."""
    if not machine.options.has_ram or machine.options.memory_backend is not None:
        return None
    found: str | None = machine.profile.machines[machine.machine_type].get("default-ram-id")
    return found
