"""The CPU model that -cpu names, with its features.

QEMU: hw/core/cpu-common.c (parse_cpu_option), target/i386/cpu.c (x86_cpu_parse_featurestr)

`name=value` and a bare `name` become defaults of the model's type, as by -global; `+name`
and `-name` are applied after all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.machine.options import CpuModel
from qemu_sim.qapi import object_properties
from qemu_sim.qapi.pool import Entry
from qemu_sim.qapi.profile import Profile

_HOST_NEEDS = "kvm"


def cpu_model(
    profile: Profile, text: str, accelerator: str, defaults: Iterable[tuple[str, str, str]]
) -> CpuModel:
    """Read the text of -cpu; `defaults` are -global's (type, property, value).

    Raises QMPError in QEMU's words.
    """
    name, _, features = text.partition(",")
    if not name:
        raise QMPError("-cpu option cannot be empty")
    qom_type = _type_of(profile, name)
    if qom_type is None:
        raise QMPError(f"unable to find CPU model '{name}'")
    if name == "host" and accelerator != _HOST_NEEDS:
        raise QMPError("CPU model 'host' requires KVM or HVF")
    pairs, switches = _split(features)
    given = [(key, value) for owner, key, value in defaults if owner == qom_type] + pairs
    if not given and not switches:
        return CpuModel(qom_type, {})  # the types' properties take long to load
    listed = profile.qom_properties.get(qom_type) or []
    return CpuModel(qom_type, _applied(qom_type, listed, given) | _set(qom_type, listed, switches))


def _type_of(profile: Profile, name: str) -> str | None:
    for entry in profile.section("query-cpu-definitions"):
        if entry["name"] == name:
            return str(entry["typename"])
    return None


def _split(features: str) -> tuple[list[tuple[str, str]], dict[str, bool]]:
    """Return what is set by text, and what is switched on or off."""
    pairs, switches = [], {}
    for feature in filter(None, features.split(",")):
        if feature[0] in "+-":
            switches[_property_name(feature[1:])] = feature[0] == "+"
        else:
            name, equals, value = feature.partition("=")
            pairs.append((_property_name(name), value if equals else "on"))
    return pairs, switches


def _property_name(feature: str) -> str:
    return feature.replace("_", "-")


def _applied(owner: str, listed: list[Entry], given: list[tuple[str, str]]) -> dict[str, Any]:
    values = {}
    for name, text in given:
        try:
            values[name] = object_properties.read(object_properties.find(owner, listed, name), text)
        except QMPError as error:
            raise QMPError(f"can't apply global {owner}.{name}={text}: {error}") from None
    return values


def _set(owner: str, listed: list[Entry], switches: dict[str, bool]) -> dict[str, Any]:
    for name in switches:
        object_properties.find(owner, listed, name)
    return dict(switches)
