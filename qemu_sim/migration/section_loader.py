"""The sections of a machine that comes in: RAM, run state, devices, and what is not ours.

QEMU: migration/savevm.c (qemu_loadvm_section_start_full, qemu_loadvm_section_part_end)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qemu_sim.errors import LoadError, WireError
from qemu_sim.migration import cut_off, foreign, ram
from qemu_sim.migration.carried import Arrivals
from qemu_sim.migration.multifd_receiver import MultifdReceiver
from qemu_sim.migration.ram_blocks import LAYOUTS, RamBlocks
from qemu_sim.migration.skipped import Skipped
from qemu_sim.migration.vmstate import (
    BACKEND_SUFFIX,
    GLOBAL_STATE,
    RAM,
    load_device,
    read_run_state,
)
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from qemu_sim.migration.side import DestinationMachine
    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.take_over import TakeOver
    from qemu_sim.wire.vmstream import Reader


class SectionLoader:
    """Loads one machine's sections from `stream`."""

    def __init__(
        self, machine: DestinationMachine, stream: Stream, channels: Sequence[Stream] = ()
    ) -> None:
        """`channels` are those of multifd."""
        self._machine = machine
        self._stream = stream
        self.by_path = {device.section: device for device in machine.devices}
        self.arrivals = Arrivals(machine, stream)
        self.skipped = Skipped()
        self.take_over: TakeOver | None = None
        """What takes the backends that are handed over, if any are."""
        self.run_state = "running", False
        """The source's, and whether it stopped a guest that slept."""
        self.is_described = False
        """Whether the description behind the sections was read already."""
        self._ids: dict[int, vmstream.Section] = {}
        self._ram_ended = False
        layout = [each for each in LAYOUTS if machine.capabilities.enabled(each)]
        self._blocks = RamBlocks(machine.memory, self.skipped.pages, layout)
        self._multifd: MultifdReceiver | None = None
        if channels:
            self._multifd = MultifdReceiver(machine, channels, self._blocks, stream.break_off)

    def attach(self, stream: Stream) -> None:
        """Go on with a new channel."""
        self._stream = stream

    def end_multifd(self) -> None:
        """Take what comes from the main channel."""
        if self._multifd is not None:
            self._multifd.close()
            self._multifd = None

    async def load(self, reader: Reader, section: vmstream.Section) -> bool:
        """Read a section; False if it and all behind it were a real QEMU's."""
        self._ids[section.id] = section
        name = section.name
        self._stream.trace("in", {"section": name}, 0)
        self._stream.lacking = cut_off.in_section(section)
        if name == RAM:
            await self._load_ram()
        elif name == GLOBAL_STATE:
            self.run_state = await read_run_state(reader)
            self._stream.eager = self.take_over is not None  # the guest stands still
        elif name.removesuffix(BACKEND_SUFFIX) in self.by_path:
            await self._device(reader, name)
        elif self.arrivals.knows(section):
            await self.arrivals.read_own(reader, section)
        elif self._is_foreign(section):
            await self._skip_from(reader, section)
            return False
        else:
            raise _unknown(section)
        self._stream.lacking = cut_off.between_sections()
        await vmstream.read_footer(reader, section)
        return True

    async def load_ram(self, section_id: int, *, is_last: bool) -> None:
        """Read some more of guest RAM, or the last of it."""
        section = self._ids.get(section_id)
        if section is None or section.name != RAM:
            raise vmstream.unknown_id(section_id)
        self._stream.lacking = cut_off.in_part(section)
        await self._load_ram()
        await vmstream.read_footer(self._stream, section)
        self._ram_ended = is_last

    async def _load_ram(self) -> None:
        await ram.load(self._stream, self._machine.memory, self._blocks, self._multifd)

    def _is_foreign(self, section: vmstream.Section) -> bool:
        if self.take_over is not None or self.arrivals.are_named_by(section):
            return False
        return foreign.is_foreign(section)

    async def _skip_from(self, reader: Reader, section: vmstream.Section) -> None:
        """Read the rest of a real QEMU's stream; of its devices, take the run state."""
        if reader is not self._stream or not self._ram_ended:
            raise WireError(
                f"section '{section.name}' of another QEMU comes where nothing says "
                "how long it is: before the end of guest RAM, or in postcopy"
            )
        run_state = await foreign.skip_rest(self._stream, section, self.skipped)
        if run_state is not None:
            self.run_state = run_state
        self._stream.patient, self.is_described = False, True

    async def _device(self, reader: Reader, name: str) -> None:
        device = self.by_path[name.removesuffix(BACKEND_SUFFIX)]
        if not name.endswith(BACKEND_SUFFIX):
            state = await vmstream.read_state(reader)
            await self.arrivals.read_behind(reader, device)
            load_device(device, state)
            await self._machine.hooks.reach("device-loaded")
        elif self.take_over is None:
            raise WireError(f"Device '{device.name}' was not agreed to be transferred")
        else:
            await self.take_over.adopt(device)


def _unknown(section: vmstream.Section) -> LoadError:
    text = (
        f"section or instance '{section.name}' {section.instance}. Make sure that your "
        "current VM setup matches your saved VM setup, including any hotplugged devices"
    )
    return LoadError(f"Unknown {text}", older=f"Unknown savevm {text}")
