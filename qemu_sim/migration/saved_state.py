"""The state of a machine in an image, beside the snapshots of its disks.

QEMU: migration/savevm.c (qemu_savevm_state, qemu_fopen_bdrv)

It is a migration stream without a dialogue, of a machine that has stopped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd
from qemu_sim.io.any_channel import reader_of
from qemu_sim.migration import configuration, cpr, ram
from qemu_sim.migration.attempt import EXPECTED
from qemu_sim.migration.incoming import Incoming
from qemu_sim.migration.stream import Stream
from qemu_sim.migration.vmstate import Sections
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qemu_sim.migration.side import DestinationMachine, SourceMachine

_PIECE = 1 << 20  # bytes


class Store(Protocol):
    """The image."""

    def write_vm_state(self, offset: int, data: bytes) -> None:
        """Store a part of the state."""

    def read_vm_state(self, offset: int, length: int) -> bytes:
        """Return a part of the state."""


class StateWriter:
    """Where sections are written to, and from there in pieces to `store`."""

    carries_fds = False

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending = bytearray()
        self._stored = 0

    def write(self, data: bytes | memoryview, fds: Sequence[Fd] = ()) -> None:
        """Append `data`; an image holds no descriptors."""
        assert not fds, "descriptors in an image"
        self._pending += data
        if len(self._pending) >= _PIECE:
            self.flush()

    send_now = write

    def trace(self, direction: str, what: dict[str, Any], fds: int) -> None:
        """Tell nobody: there is no channel."""

    def flush(self) -> int:
        """Store the rest; returns how many bytes there are in all."""
        self._store.write_vm_state(self._stored, bytes(self._pending))
        self._stored += len(self._pending)
        self._pending.clear()
        return self._stored


def write(machine: SourceMachine, store: Store, run_state: str) -> int:
    """Write the state of a machine that was in `run_state`; returns its size in bytes."""
    stream = StateWriter(store)
    stream.write(vmstream.HEADER + configuration.section(machine))
    sections = Sections(stream)
    _write_ram(machine, stream, sections.start_ram())
    sections.write_global_state(run_state, asleep=machine.asleep)
    for device in machine.devices:
        sections.write_device(device.section, device.save(), None)
    sections.close(configuration.described(machine))
    return stream.flush()


def _write_ram(machine: SourceMachine, stream: StateWriter, section: int) -> None:
    memory = machine.memory
    ignores_shared = machine.capabilities.enabled("x-ignore-shared")
    stream.write(ram.setup(memory, ignore_shared=ignores_shared) + ram.END_OF_PART)
    stream.write(vmstream.footer(section) + vmstream.section_part(vmstream.END, section))
    if not leaves_ram(machine):
        for pieces in ram.pages(memory, memory.extents()):
            for piece in pieces:
                stream.write(piece)
    stream.write(ram.END_OF_PART + vmstream.footer(section))


def leaves_ram(machine: SourceMachine) -> bool:
    """Whether RAM is no part of the state, as other processes share it."""
    return cpr.leaves_ram(machine, "normal")


async def read(
    machine: DestinationMachine, store: Store, size: int, patience: float
) -> tuple[str, bool]:
    """Load `size` bytes, waiting for `patience` seconds for any.

    Returns the run state, and whether it had stopped a guest that slept. Raises LoadError in
    QEMU's words, or what else may be wrong with a stream.
    """
    stream = Stream(reader_of(_copy(store, size)), patience, _tell_nobody)
    incoming = Incoming(machine, stream, _refuse_postcopy)
    try:
        await incoming.load()
    except EXPECTED as error:
        incoming.give_up()
        raise incoming.cut_off(error) or error from None
    finally:
        incoming.close()
    incoming.skipped.log()
    return incoming.run_state


def _copy(store: Store, size: int) -> Fd:
    """Return a file with the state, to be read from its start."""
    fd = Fd(os.memfd_create("vm-state", os.MFD_CLOEXEC))
    for at in range(0, size, _PIECE):
        os.write(fd.fileno(), store.read_vm_state(at, min(_PIECE, size - at)))
    os.lseek(fd.fileno(), 0, os.SEEK_SET)
    return fd


def _tell_nobody(_direction: str, _what: dict[str, Any], _fds: int) -> None:
    """There is no channel."""


async def _refuse_postcopy(_status: str) -> NoReturn:
    raise WireError("the state in a snapshot is complete")
