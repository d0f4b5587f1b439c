"""Guest memory in a core file.

QEMU: dump/dump.c (dump_init, dump_process), hw/i386/pc_q35.c, hw/i386/pc_piix.c

RAM is where a PC has it, with a gap below 4 GiB. The firmware's ROM is not simulated: its
place in the file holds zeros.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from qemu_sim.errors import QMPError
from qemu_sim.machine.dump_sink import DumpSink
from qemu_sim.virtio.memory import data_extents
from qemu_sim.wire.elf_core import Block, Core, core

if TYPE_CHECKING:
    from qemu_sim.fds import Fd
    from qemu_sim.machine.events import Events
    from qemu_sim.machine.execution import Execution
    from qemu_sim.virtio.memory import GuestMemory

_CHUNK = 1 << 20
_NEWER = (11, 0)
_FOUR_GIB = 1 << 32
_ROM, _ROM_SIZE = 0xFFFC0000, 0x40000
_APART = (0xC0000, 0xE0000, 0x100000)  # what the chipset maps by itself
# More RAM than the first goes above 4 GiB, all behind the second.
_LOW_RAM = {"pc-q35": (0xB0000000, 0x80000000), "pc-i440": (0xE0000000, 0xC0000000)}


class Range(NamedTuple):
    """Which part of guest memory is wanted."""

    begin: int = 0
    length: int = 1 << 64


class Dumped(Protocol):
    """What a dump needs of its machine."""

    @property
    def execution(self) -> Execution:
        """What stops the guest."""

    @property
    def events(self) -> Events:
        """Where DUMP_COMPLETED is told."""

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""

    @property
    def machine_type(self) -> str:
        """The machine type, versioned."""

    @property
    def version(self) -> tuple[int, int, int]:
        """The QEMU version."""

    @property
    def state_name(self) -> str:
        """The run state."""


class CoreDump:
    """The last dump of one machine, or the one that is under way."""

    def __init__(self, machine: Dumped) -> None:
        self._machine = machine
        self._status = "none"
        self._total = self._completed = 0
        self._task: asyncio.Task[QMPError | None] | None = None

    def to_qapi(self) -> dict[str, Any]:
        """Return the DumpQueryResult."""
        return {"status": self._status, "completed": self._completed, "total": self._total}

    def check(self) -> None:
        """Raise QMPError in QEMU's words while there can be no dump."""
        if self._machine.state_name == "inmigrate":
            raise QMPError("Dump not allowed during incoming migration.")
        if self._status == "active":
            raise QMPError("There is a dump in process, please wait.")

    def start(self, fd: Fd, wanted: Range, cpus: int, signature: int) -> None:
        """Stop the guest and begin to write to `fd`, which is this object's from now on.

        Raises QMPError in QEMU's words.
        """
        machine = self._machine
        blocks = [*_cut(_blocks(machine), wanted)]
        state = machine.state_name
        if machine.execution.is_live:
            machine.execution.halt("save-vm")
        self._total, self._completed = sum(block.length for block in blocks), 0
        if not blocks:
            fd.close()
            self._status = "failed"
            self._go_on(state)
            raise QMPError(self._nothing_in(wanted))
        self._status = "active"
        work = self._work(fd, core(blocks, cpus, signature), blocks, state)
        self._task = asyncio.get_running_loop().create_task(work)

    async def wait(self) -> None:
        """Wait until it is over. Raises QMPError if it failed."""
        assert self._task is not None
        failure = await asyncio.shield(self._task)
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()

    def _nothing_in(self, wanted: Range) -> str:
        if wanted.length:
            return "dump: no guest memory to dump"
        if self._machine.version >= _NEWER:
            return "parameter 'length' expects a non-zero size"
        return "Invalid parameter 'length'"

    def _go_on(self, state: str) -> None:
        if self._machine.state_name == "save-vm":
            self._machine.execution.go_back_to(state)

    async def _work(
        self, fd: Fd, around: Core, blocks: Sequence[Block], state: str
    ) -> QMPError | None:
        failure = None
        with DumpSink(fd) as sink:
            try:
                await sink.write(around.head)
                for block in blocks:
                    await self._copy(block, sink)
                await sink.write(around.tail)
            except OSError as error:
                failure = QMPError(f"dump: failed to save memory: {error.strerror}")
        self._status = "completed" if failure is None else "failed"
        told: dict[str, Any] = {"result": self.to_qapi()}
        if failure is not None:
            told["error"] = str(failure)
        self._machine.events.emit("DUMP_COMPLETED", told)
        self._go_on(state)
        return failure

    async def _copy(self, block: Block, sink: DumpSink) -> None:
        for data, length in _pieces(self._machine.memory, block):
            await (sink.write(data) if data else sink.skip(length))
            self._completed += length
            await asyncio.sleep(0)  # clients may want to know how far it is


def _blocks(machine: Dumped) -> list[Block]:
    """Return where a machine has memory, in order."""
    kind = next((kind for kind in _LOW_RAM if machine.machine_type.startswith(kind)), None)
    if kind is None:
        size = 0 if machine.machine_type == "none" else machine.memory.size
        return [Block(0, size, 0)] if size else []
    size = machine.memory.size
    most, low = _LOW_RAM[kind]
    low = low if size >= most else size
    borders = [0, *(each for each in _APART if each < low), low]
    blocks = [Block(start, end - start, start) for start, end in itertools.pairwise(borders)]
    blocks.append(Block(_ROM, _ROM_SIZE, None))
    if size > low:
        blocks.append(Block(_FOUR_GIB, size - low, low))
    return blocks


def _cut(blocks: Sequence[Block], wanted: Range) -> Iterator[Block]:
    for address, length, offset in blocks:
        start = max(address, wanted.begin)
        end = min(address + length, wanted.begin + wanted.length)
        if start < end:
            at = None if offset is None else offset + start - address
            yield Block(start, end - start, at)


def _pieces(memory: GuestMemory, block: Block) -> Iterator[tuple[bytes, int]]:
    """Yield a block as data, or no data, and the length."""
    if block.offset is None:
        yield b"", block.length
        return
    at, end = block.offset, block.offset + block.length
    for start, length in data_extents(memory.fd, at, end):
        if start > at:
            yield b"", start - at
        for at in range(start, start + length, _CHUNK):
            data = memory.read(at, min(_CHUNK, start + length - at))
            yield data, len(data)
        at = start + length
    if end > at:
        yield b"", end - at
