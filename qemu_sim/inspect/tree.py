"""The lines that show one item of a migration stream, what it holds indented below it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import singledispatchmethod
from typing import Any

from qemu_sim.inspect import values
from qemu_sim.wire import vmfile, vmmessage, vmram, vmstream

_KINDS = {vmstream.START: "start", vmstream.PART: "part", vmstream.END: "end"}
_INDENT = " " * 12


class Tree:
    """Shows the items of one stream and counts what they hold."""

    def __init__(self) -> None:
        self._blocks: dict[str, int] = {}
        self._pages: Counter[tuple[str, str]] = Counter()
        self._devices = 0
        self._descriptors = 0

    def lines(self, offset: int, item: vmfile.Item) -> Iterator[str]:
        """Yield the lines of `item`, the first with its offset."""
        first, *rest = self._show(item)
        yield f"0x{offset:08x}  {first}"
        for line in rest:
            yield f"{_INDENT}  {line}"

    def summary(self) -> Iterator[str]:
        """Yield what all of it comes to."""
        counts = f"{self._devices} devices, {self._descriptors} descriptors"
        yield f"{counts}, {len(self._blocks)} blocks of RAM"
        yield from (f"  {line}" for line in _ram(self._blocks, self._pages))

    @singledispatchmethod
    def _show(self, item: Any) -> Iterator[str]:
        raise AssertionError(f"{item!r} is no item of a stream")

    @_show.register
    def _(self, item: vmfile.Configuration) -> Iterator[str]:
        yield f"configuration: {item.machine_type}"
        for name, texts in item.settings:
            yield f"{name}: {', '.join(texts)}"

    @_show.register
    def _(self, item: vmmessage.Message) -> Iterator[str]:
        names = vmmessage.COMMANDS | vmmessage.NAMES
        yield f"command {names.get(item.code, hex(item.code))}"
        if item.body or item.data:
            yield json.dumps(item.body) if item.body else item.data.hex(" ")

    @_show.register
    def _(self, item: vmfile.Package) -> Iterator[str]:
        yield f"command {vmmessage.COMMANDS[vmmessage.COMMAND_PACKAGED]}, {item.size} bytes"

    @_show.register
    def _(self, item: vmfile.RamPart) -> Iterator[str]:
        section = item.section
        yield f"section {section.id} '{section.name}' {section.instance}, {_KINDS[item.kind]}"
        self._blocks |= item.part.blocks
        self._pages += item.part.pages
        yield from _ram(item.part.blocks, item.part.pages)

    @_show.register
    def _(self, item: vmfile.Device) -> Iterator[str]:
        section = item.section
        self._devices += 1
        self._descriptors += values.descriptors(item.values)
        yield (
            f"section {section.id} '{section.name}' {section.instance}, "
            f"version {section.version}, {item.size} bytes"
        )
        yield from values.lines(item.values)

    @_show.register
    def _(self, _item: vmfile.Descriptor) -> Iterator[str]:
        self._descriptors += 1
        yield "a descriptor"

    @_show.register
    def _(self, _item: vmfile.End) -> Iterator[str]:
        yield "end of the sections"

    @_show.register
    def _(self, item: vmfile.Closing) -> Iterator[str]:
        count, page = len(item.description.devices), item.description.page_size
        yield f"description of {count} devices, {item.size} bytes, pages of {page}"


def _ram(blocks: dict[str, int], pages: Counter[tuple[str, str]]) -> Iterator[str]:
    for name in dict.fromkeys([*blocks, *(name for name, _ in pages)]):
        size = f", {blocks[name]} bytes" if name in blocks else ""
        sorts = [f"{pages[name, sort]} {sort}" for sort in vmram.SORTS if pages[name, sort]]
        yield f"block '{name}'{size}" + (f": {', '.join(sorts)}" if sorts else "")
