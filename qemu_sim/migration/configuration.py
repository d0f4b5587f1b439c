"""The configuration section: the machine type, and what both sides must agree on.

QEMU: migration/savevm.c (vmstate_configuration, vmstate_capabilites, vmstate_uuid)
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.errors import LoadError
from qemu_sim.wire import vmconfiguration, vmstream

if TYPE_CHECKING:
    from qemu_sim.migration.side import Side
    from qemu_sim.wire.vmstream import Reader

_VERSION = 1
_DESCRIBED_SINCE = (8, 2, 0)
_log = logging.getLogger(__name__)
_HOOK_FAILED = "post load hook failed for: configuration, version_id: 1, minimum_version: 0"
_MUST_AGREE = ("x-ignore-shared", "mapped-ram")


def section(machine: Side) -> bytes:
    """Return the source's configuration section."""
    parts = [
        vmstream.subsection(part.name, _VERSION, part.payload) for part in _subsections(machine)
    ]
    return vmstream.configuration(machine.machine_type, parts)


def described(machine: Side) -> dict[str, Any]:
    """Return what the stream's description has on the section: nothing, by an older QEMU."""
    if machine.version < _DESCRIBED_SINCE:
        return {}
    name = machine.machine_type.encode()
    configuration: dict[str, Any] = {
        "vmsd_name": "configuration",
        "version": _VERSION,
        "fields": [
            {"name": "len", "type": "uint32", "size": 4},
            {"name": "name", "type": "buffer", "size": len(name)},
        ],
    }
    subsections = [
        {"vmsd_name": part.name, "version": _VERSION, "fields": part.fields}
        for part in _subsections(machine)
    ]
    if subsections:
        configuration["subsections"] = subsections
    return {"configuration": configuration}


class _Subsection(NamedTuple):
    """What only some streams have, and what their description says of it."""

    name: str
    payload: bytes
    fields: list[dict[str, Any]]


def _subsections(machine: Side) -> list[_Subsection]:
    found = []
    agreed = _must_agree(machine)
    if agreed:
        texts = [bytes([len(name)]) + name.encode() for name in agreed]
        payload = len(texts).to_bytes(4, "big") + b"".join(texts)
        many = {"array_len": len(texts)} if len(texts) > 1 else {}
        fields: list[dict[str, Any]] = [
            {"name": "caps_count", "type": "uint32", "size": 4},
            {"name": "capabilities", **many, "type": "capability", "size": len(texts[0])},
        ]
        found.append(_Subsection(vmconfiguration.CAPABILITIES, payload, fields))
    if machine.uuid is not None and machine.capabilities.enabled("validate-uuid"):
        own = uuid.UUID(machine.uuid).bytes
        fields = [{"name": "uuid.data", "array_len": len(own), "type": "uint8", "size": 1}]
        found.append(_Subsection(vmconfiguration.UUID, own, fields))
    return found


async def begin(reader: Reader, machine: Side) -> None:
    """Read the section but for its subsections. Raises LoadError in QEMU's words."""
    kind = await vmstream.read_byte(reader)
    if kind != vmstream.CONFIGURATION:
        text = "Configuration section missing"
        raise LoadError(f"{text}, {kind} != {vmstream.CONFIGURATION}", older=text)
    received = await vmstream.read_text(reader)
    local = machine.machine_type
    if received != local:
        text = f"Machine type received is '{received}' and local is '{local}'"
        raise LoadError(f"{_HOOK_FAILED}: {text}", older=text)


async def check_subsection(reader: Reader, machine: Side) -> None:
    """Read one subsection, after its kind. Raises LoadError in QEMU's words."""
    name, received = await vmconfiguration.read_setting(reader)
    if name == vmconfiguration.CAPABILITIES:
        _check_capabilities(received, machine)
    elif name == vmconfiguration.UUID:
        _check_uuid(received[0], machine)


def _check_capabilities(received: Sequence[str], machine: Side) -> None:
    local = _must_agree(machine)
    for name in _MUST_AGREE:
        if (name in received) != (name in local):
            state = "on, but received capability is off"
            if name in received:
                state = "off, but received capability is on"
            raise LoadError(
                f"{_HOOK_FAILED}: Failed to validate capabilities",
                printed=f"Capability {name} is {state}",
            )


def _check_uuid(received: str, machine: Side) -> None:
    """Compare; one that either side was not given fits any."""
    if machine.uuid is None:
        _log.warning("UUID is received %s, but local uuid isn't set", received)
    elif received != machine.uuid:
        raise LoadError(
            f"Loading VM subsection '{vmconfiguration.UUID}' in 'configuration' failed: post load "
            f"hook failed for: {vmconfiguration.UUID}, version_id: 1, minimum_version: 1, ret: -22",
            printed=f"UUID received is {received} and local is {machine.uuid}",
        )


def _must_agree(machine: Side) -> list[str]:
    return [name for name in _MUST_AGREE if machine.capabilities.enabled(name)]
