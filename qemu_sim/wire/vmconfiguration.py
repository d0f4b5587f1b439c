"""What the configuration section has behind the machine type: its subsections.

QEMU: migration/savevm.c (vmstate_configuration)

They come before the description, so what they hold is known here: the capabilities that
change the stream, and the machine's UUID (capability `validate-uuid`).
"""

from __future__ import annotations

import uuid

from qemu_sim.errors import WireError
from qemu_sim.wire import vmstream

CAPABILITIES = "configuration/capabilities"
UUID = "configuration/uuid"

_MOST = 256  # capabilities; QEMU 11.1 has 25

Setting = tuple[str, list[str]]
"""The subsection's name, and what it holds: names of capabilities, or one UUID."""


async def read_setting(reader: vmstream.Reader) -> Setting:
    """Read one subsection, after its kind. Raises WireError for one that is unknown."""
    name, _ = await vmstream.read_subsection(reader)
    if name == CAPABILITIES:
        count = await vmstream.read_u32(reader)
        if count > _MOST:
            raise WireError(f"{count} capabilities in the configuration")
        return name, [await vmstream.read_short_text(reader) for _ in range(count)]
    if name == UUID:
        return name, [str(uuid.UUID(bytes=await reader.read(16)))]
    raise WireError(f"unknown subsection '{name}' in the configuration")
