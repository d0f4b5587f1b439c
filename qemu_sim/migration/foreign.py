"""The device part of a real QEMU's stream: split by its description, and left aside.

QEMU: migration/savevm.c (qemu_savevm_state_complete_precopy_non_iterable)

A section of QEMU's does not say how long it is; the description behind the last one does.
So from the first section that is not ours everything is kept until that has arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qemu_sim.errors import MigrationError, WireError
from qemu_sim.migration.vmstate import GLOBAL_STATE, PATH_PREFIX, read_run_state
from qemu_sim.wire import vmstream
from qemu_sim.wire.bytes_reader import BytesReader, run
from qemu_sim.wire.vmdescription import Devices, Found, Search

if TYPE_CHECKING:
    from qemu_sim.migration.skipped import Skipped
    from qemu_sim.migration.stream import Stream

_MAX = 256 << 20  # bytes; a machine with hundreds of devices has a few millions
_END_SIZE = 6  # a footer and EOF
_NOT_DESCRIBED = "the stream has no description of its devices (is suppress-vmdesc=on there?)"


class _Arrived(NamedTuple):
    """One device's section, complete."""

    section: vmstream.Section
    payload: bytes


def is_foreign(section: vmstream.Section) -> bool:
    """Whether this is a real QEMU's device; ours are named by their paths."""
    return section.kind == vmstream.FULL and not section.name.startswith(PATH_PREFIX)


async def skip_rest(
    stream: Stream, first: vmstream.Section, skipped: Skipped
) -> tuple[str, bool] | None:
    """Read all sections from `first` on, whose head was read, and the description.

    Notes them in `skipped`, but for the run state, which is returned as `read_global_state`
    does. Raises WireError for a stream that has no description, or is not as that says.
    """
    run_state = None
    for section, payload in await _read_rest(stream, first):
        if section.name == GLOBAL_STATE:
            run_state = run(read_run_state(BytesReader(payload)))
        else:
            skipped.note(section, len(payload))
    skipped.log()
    return run_state


async def _read_rest(stream: Stream, first: vmstream.Section) -> list[_Arrived]:
    data, search = bytearray(vmstream.section_start(first)), Search()
    stream.phase = "the description of the source's devices"
    while (found := search.look(data)) is None:
        if len(data) > _MAX:
            raise WireError(f"device state of more than {_MAX} bytes")
        ended = _has_ended(data)
        stream.patient = not ended  # after the last section a source has no reason to wait
        try:
            data += await stream.read_some()
        except MigrationError as error:
            if ended:
                raise WireError(f"{_NOT_DESCRIBED}: {error}") from None
            raise
    return _split(data, found)


def _has_ended(data: bytearray) -> bool:
    """Whether these look like all the sections; a piece may end so by chance."""
    return data[-1] == vmstream.EOF and data[-_END_SIZE] == vmstream.FOOTER


def _split(data: bytearray, found: Found) -> list[_Arrived]:
    reader, devices = BytesReader(data), Devices(found.description)
    arrived = []
    while reader.at < found.offset:
        kind = run(vmstream.read_byte(reader))
        if kind != vmstream.FULL:
            raise vmstream.unknown_kind(kind)
        section = run(vmstream.read_section(reader, kind))
        payload = run(reader.read(devices.take(section).size))
        run(vmstream.read_footer(reader, section))
        arrived.append(_Arrived(section, payload))
    return arrived
