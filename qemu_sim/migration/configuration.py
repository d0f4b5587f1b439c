"""The configuration section: the machine type, and what both sides must agree on.

QEMU: migration/savevm.c (vmstate_configuration, vmstate_capabilites, vmstate_uuid)
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from qemu_sim.errors import MigrationError, WireError
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from qemu_sim.migration.side import Side
    from qemu_sim.wire.vmstream import Reader

_CAPABILITIES = "configuration/capabilities"
_UUID = "configuration/uuid"
_VERSION = 1
_UUID_SIZE = 16  # bytes
_MUST_AGREE = ("x-ignore-shared", "mapped-ram")


def section(machine: Side) -> bytes:
    """Return the source's configuration section."""
    subsections = []
    agreed = _must_agree(machine)
    if agreed:
        texts = [bytes([len(name)]) + name.encode() for name in agreed]
        payload = len(texts).to_bytes(4, "big") + b"".join(texts)
        subsections.append(vmstream.subsection(_CAPABILITIES, _VERSION, payload))
    if machine.capabilities.enabled("validate-uuid"):
        subsections.append(vmstream.subsection(_UUID, _VERSION, _uuid(machine)))
    return vmstream.configuration(machine.machine_type, subsections)


async def check(reader: Reader, machine: Side) -> None:
    """Read the section's head, after its kind. Raises MigrationError in QEMU's words."""
    received = await vmstream.read_text(reader)
    local = machine.machine_type
    if received != local:
        raise MigrationError(f"Machine type received is '{received}' and local is '{local}'")


async def check_subsection(reader: Reader, machine: Side) -> None:
    """Read one subsection, after its kind. Raises MigrationError in QEMU's words."""
    name = (await reader.read((await reader.read(1))[0])).decode(errors="replace")
    await vmstream.read_u32(reader)  # its version
    if name == _CAPABILITIES:
        await _check_capabilities(reader, machine)
    elif name == _UUID:
        await _check_uuid(reader, machine)
    else:
        raise WireError(f"Unknown subsection '{name}' of the configuration")


async def _check_capabilities(reader: Reader, machine: Side) -> None:
    received = []
    for _ in range(await vmstream.read_u32(reader)):
        size = (await reader.read(1))[0]
        received.append((await reader.read(size)).decode(errors="replace"))
    local = _must_agree(machine)
    for name in _MUST_AGREE:
        if (name in received) != (name in local):
            state = "on, but received capability is off"
            if name in received:
                state = "off, but received capability is on"
            raise MigrationError(f"Capability {name} is {state}")


async def _check_uuid(reader: Reader, machine: Side) -> None:
    received = await reader.read(_UUID_SIZE)
    local = _uuid(machine)
    if received != local:
        raise MigrationError(
            f"UUID received is {uuid.UUID(bytes=received)} and local is {uuid.UUID(bytes=local)}"
        )


def _must_agree(machine: Side) -> list[str]:
    return [name for name in _MUST_AGREE if machine.capabilities.enabled(name)]


def _uuid(machine: Side) -> bytes:
    return bytes(_UUID_SIZE) if machine.uuid is None else uuid.UUID(machine.uuid).bytes
