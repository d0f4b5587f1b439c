"""A whole migration stream, from a file: items in order, or an error that says where.

QEMU: migration/savevm.c (qemu_loadvm_state); scripts/analyze-migration.py reads the same

Everything is checked that can be: each device's section has the length and the parts that
the description gives it, and none that was described is missing.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

from qemu_sim.errors import LoadError, WireError
from qemu_sim.wire import vmconfiguration, vmdescription, vmfields, vmmessage, vmram, vmstream
from qemu_sim.wire.bytes_reader import BytesReader, run
from qemu_sim.wire.vmdescription import Description, Devices, Search

RAM = "ram"


class Configuration(NamedTuple):
    """The machine type, and what else the source says of itself."""

    machine_type: str
    settings: list[vmconfiguration.Setting]


class RamPart(NamedTuple):
    """A section of guest RAM: START, PART or END."""

    kind: int
    section: vmstream.Section
    part: vmram.Part


class Device(NamedTuple):
    """A device's section, `size` bytes without head and footer."""

    section: vmstream.Section
    size: int
    values: vmfields.Values


class Package(NamedTuple):
    """A stream within the stream, of `size` bytes: where postcopy begins. It has no description."""

    size: int


class Descriptor(NamedTuple):
    """A byte on which a descriptor travelled."""


class End(NamedTuple):
    """The end of the sections."""


class Closing(NamedTuple):
    """The description, `size` bytes of JSON."""

    size: int
    description: Description


_MARKS: dict[int, End | Descriptor] = {vmstream.EOF: End(), vmstream.FD_BYTE[0]: Descriptor()}

Item = Configuration | RamPart | Device | Package | Descriptor | End | Closing | vmmessage.Message


class Placed(NamedTuple):
    """An item and the offset of its first byte."""

    offset: int
    item: Item


def read(data: bytes | bytearray | mmap.mmap) -> Iterator[Placed]:
    """Yield what `data` holds. Raises WireError, which names the offset, where it is wrong."""
    return _VmFile(data).items()


class _VmFile:
    """The stream as far as it was read."""

    def __init__(self, data: bytes | bytearray | mmap.mmap) -> None:
        self._reader = BytesReader(data)
        self._begin = 0  # of the item that is being read
        self._sections: dict[int, vmstream.Section] = {}
        self._ram = vmram.Ram(ignore_shared=False, mapped=False)
        self._devices: Devices | None = None

    def items(self) -> Iterator[Placed]:
        """Yield the items. Raises WireError."""
        try:
            run(vmstream.read_header(self._reader))
            is_closed = False
            while self._reader.left or not is_closed:
                self._begin = self._reader.at
                item = run(self._item())
                # Behind it a source of ours may still say that it gives its backends away.
                is_closed = is_closed or isinstance(item, Closing)
                yield Placed(self._begin, item)
        except WireError as error:
            told = error.detail if isinstance(error, LoadError) else error
            raise WireError(f"{self._place()}: {told}") from None

    def _place(self) -> str:
        at, begin = self._reader.at, self._begin
        within = "" if at == begin else f", in what begins at byte {begin}"
        return f"at byte {at}{within}"

    async def _item(self) -> Item:
        reader = self._reader
        kind = await vmstream.read_byte(reader)
        if kind == vmstream.CONFIGURATION:
            return await self._configuration()
        if kind == vmstream.COMMAND:
            return await self._command()
        if kind in (vmstream.START, vmstream.FULL):
            return await self._section(await vmstream.read_section(reader, kind))
        if kind in (vmstream.PART, vmstream.END):
            return await self._ram_part(kind, await vmstream.read_u32(reader))
        if kind == vmstream.VMDESCRIPTION:
            return await self._closing()
        if kind in _MARKS:
            return _MARKS[kind]
        raise vmstream.unknown_kind(kind)

    async def _command(self) -> vmmessage.Message | Package:
        message = await vmmessage.read_message(self._reader)
        if message.code != vmmessage.COMMAND_PACKAGED:
            return message
        size = int.from_bytes(message.data)
        await self._reader.read(size)
        return Package(size)

    async def _configuration(self) -> Configuration:
        reader = self._reader
        machine_type = await vmstream.read_text(reader)
        settings = []
        while reader.left and reader.data[reader.at] == vmstream.SUBSECTION:
            reader.at += 1
            settings.append(await vmconfiguration.read_setting(reader))
        capabilities = dict(settings).get(vmconfiguration.CAPABILITIES, ())
        self._ram = vmram.Ram(
            ignore_shared="x-ignore-shared" in capabilities, mapped="mapped-ram" in capabilities
        )
        return Configuration(machine_type, settings)

    async def _section(self, section: vmstream.Section) -> Item:
        if section.kind == vmstream.FULL:
            return await self._device(section)
        self._sections[section.id] = section
        return await self._ram_part(section.kind, section.id)

    async def _ram_part(self, kind: int, section_id: int) -> RamPart:
        section = self._sections.get(section_id)
        if section is None:
            raise vmstream.unknown_id(section_id)
        if (section.name, section.version) != (RAM, vmram.VERSION):
            raise WireError(f"what '{section.name}' version {section.version} holds is not known")
        part = await self._ram.read_part(self._reader)
        await vmstream.read_footer(self._reader, section)
        return RamPart(kind, section, part)

    async def _device(self, section: vmstream.Section) -> Device:
        struct = self._described().take(section)
        begin = self._reader.at
        values = await vmfields.read_values(self._reader, struct)
        size = self._reader.at - begin
        await vmstream.read_footer(self._reader, section)
        return Device(section, size, values)

    def _described(self) -> Devices:
        if self._devices is None:
            found = Search(self._reader.at).look(self._reader.data)
            if found is None:
                raise WireError(
                    "what devices hold is described at the end of the stream, and this one is "
                    "cut off before it, or of a machine with suppress-vmdesc=on"
                )
            self._devices = Devices(found.description)
        return self._devices

    async def _closing(self) -> Closing:
        size = await vmstream.read_u32(self._reader)
        description = vmdescription.parse(await self._reader.read(size))
        devices = self._devices or Devices(description)
        if devices.description != description:
            raise WireError("there is another description before the one at the end")
        devices.check_complete()
        return Closing(size, description)
