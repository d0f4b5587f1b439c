"""What QEMU says of a stream that ends too early, by what was being read.

QEMU: migration/savevm.c (qemu_loadvm_state_main), migration/vmstate.c; heard of 11.1.3 and 7.2.22
"""

from __future__ import annotations

import errno

from qemu_sim.errors import LoadError, WireError
from qemu_sim.wire import vmstream
from qemu_sim.wire.bytes_reader import BytesReader, run

_HEADER_SIZE = len(vmstream.HEADER)


def in_header(arrived: bytes) -> LoadError:
    """Return the error about a header of which only this has come: the rest reads as zeroes."""
    try:
        run(vmstream.read_header(BytesReader(arrived[:_HEADER_SIZE].ljust(_HEADER_SIZE, b"\0"))))
    except LoadError as error:
        return error
    raise WireError("the header is complete")


def in_configuration() -> LoadError:
    """Return the error about the machine type, or a subsection."""
    return LoadError(
        "Failed to load configuration state: stream error: -5",
        older="Failed to load configuration:name",
        older_number=errno.EIO,
    )


def between_sections() -> LoadError:
    """Return the error about the end where something should begin."""
    text = "Failed to load section ID: stream error: -5: Channel error: Input/output error"
    return LoadError(text, older="", number=errno.EIO)


def in_section_head() -> LoadError:
    """Return the error about the head of a section."""
    return LoadError("Unable to read ID string for section 0")


def in_part_head() -> LoadError:
    """Return the error about the head of a further part of a section."""
    text = "Failed to read section ID: -5"
    return LoadError(text, older=f"qemu_loadvm_section_part_end: {text}", number=errno.EIO)


def in_section(section: vmstream.Section) -> LoadError:
    """Return the error about what a section holds."""
    where = (
        f"error while loading state for instance 0x{section.instance:x} of device '{section.name}'"
    )
    if section.kind == vmstream.START:
        return LoadError(f"{where}: Failed to load vmstate version_id: 4, ret: -22", older=where)
    text = f"{where}: Failed to load {section.name} state: stream error: -5"
    return LoadError(text, older=where, older_number=errno.EIO)


def in_part(section: vmstream.Section) -> LoadError:
    """Return the error about what a further part of a section holds."""
    return LoadError(
        "Failed to load vmstate version_id: 4, ret: -5",
        older=f"error while loading state section id {section.id}({section.name})",
        number=errno.EIO,
    )
