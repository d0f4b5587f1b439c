"""Properties of a device, checked and typed by what the recorded QEMU lists for its type.

QEMU: system/qdev-monitor.c, hw/core/qdev-properties.c, hw/core/qdev-properties-system.c

Options are strings. JSON has types, and QEMU 7.2 turns it into options first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.key_order import in_key_order
from qemu_sim.qapi import extension, json_values, keyval_values
from qemu_sim.qapi.json_values import Check
from qemu_sim.qapi.path import Path
from qemu_sim.qapi.pool import Entry
from qemu_sim.qapi.profile import Profile
from qemu_sim.qapi.property_kinds import NUMBERS

# Since then device_add keeps JSON's types. QEMU: commit be93fd53723c
_JSON_KEEPS_TYPES = (9, 2, 0)

# Of every device, listed by QEMU for none.
_UNLISTED = {"realized": "bool", "bus": "str"}
_UNLISTED_READ_ONLY = ("type", "hotplugged", "hotpluggable", "parent_bus")

# Only ever read.
_READ_ONLY = frozenset({"guest statistics", "GuestPanicInformation", "X86CPUFeatureWordInfo"})
# Enumerations are told by their description alone: "Error handling policy, report/ignore".
_CHOICES = re.compile(r"(?:^|[ (])((?:[\w-]+/)+[\w-]+)\)?$")
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_PCI_ADDRESS = re.compile(r"(?:0[xX])?([0-9a-fA-F]+)(?:\.(?:0[xX])?([0-9a-fA-F]+))?")
_SLOTS, _FUNCTIONS = 32, 8


def parse_device_properties(
    profile: Profile,
    type_name: str,
    given: Mapping[str, Any],
    *,
    typed: bool = False,
    dialect: str | None = extension.DEVICES,
) -> dict[str, Any]:
    """Return the given properties as values of their types, in QEMU's order.

    `typed`: they come from JSON, as is clear where one is no string. Links (a netdev, a
    chardev, an object) and `bus` stay the name that was given. What `dialect` adds to the
    type's properties is among them; None is QEMU's own. Raises QMPError in QEMU's
    words for an unknown type, property or value.
    """
    check_driver(profile, type_name)
    typed = typed or any(type(value) is not str for value in given.values())
    if typed and profile.version < _JSON_KEEPS_TYPES:
        given, typed = _as_options(given), False
    properties = {each["name"]: each for each in profile.device_properties.get(type_name) or []}
    if dialect is not None:
        ours = extension.device_properties(type_name, dialect)
        properties |= {each["name"]: each for each in ours}
    result = {}
    for name in in_key_order(given):
        owner = _owner(profile, type_name, name)
        check = _check_for(type_name, name, properties.get(name), owner, typed=typed)
        result[name] = check(given[name], (None, name))
    return result


def check_driver(profile: Profile, type_name: str) -> None:
    """Raise QMPError in QEMU's words unless devices of the type can be made."""
    ancestor: Entry | None = profile.types.get(type_name)
    while ancestor is not None and ancestor["name"] != "device":
        ancestor = profile.types.get(ancestor.get("parent", ""))
    if ancestor is None:
        raise QMPError(f"'{type_name}' is not a valid device model name")
    if profile.types[type_name].get("abstract"):
        raise QMPError("Parameter 'driver' expects a non-abstract device type")


def _check_for(
    type_name: str, name: str, listed: Entry | None, owner: str, *, typed: bool
) -> Check:
    if listed is None:
        listed = _unlisted(type_name, name)
    scalar = json_values.scalar if typed else keyval_values.scalar
    special = _SPECIAL.get(name)
    if special is not None and listed["type"] != _IN_MEMORY:
        return special(f"{owner}.{name}", scalar("str"))
    if listed["type"] in _READ_ONLY:
        raise QMPError(f"Property '{owner}.{name}' is not writable")
    kind = NUMBERS.get(listed["type"])
    if kind is not None:
        return scalar(kind)
    found = _CHOICES.search(listed.get("description", ""))
    if found and listed["type"][0].isupper():
        return _choice(frozenset(found[1].split("/")), scalar("str"))
    # What has a structure (a list, an address) only JSON can say.
    structured = typed and listed["type"] not in ("str", "string") and "<" not in listed["type"]
    return scalar("any" if structured else "str")


def _unlisted(type_name: str, name: str) -> Entry:
    if name in _UNLISTED_READ_ONLY:
        raise QMPError(f"Property '{type_name}.{name}' is not writable")
    if name not in _UNLISTED:
        raise QMPError(f"Property '{type_name}.{name}' not found")
    return {"name": name, "type": _UNLISTED[name]}


def _choice(allowed: frozenset[str], string: Check) -> Check:
    def check(value: Any, path: Path) -> str:
        text: str = string(value, path)
        if text not in allowed:
            name = path[1] if path else "null"
            raise QMPError(f"Parameter '{name}' does not accept value '{text}'")
        return text

    return check


def _mac(property_name: str, string: Check) -> Check:
    def check(value: Any, path: Path) -> str:
        text: str = string(value, path)
        if not _MAC.fullmatch(text):
            raise _refused(property_name, text)
        return text

    return check


def _pci_address(property_name: str, string: Check) -> Check:
    """Slot and function, both hexadecimal: "1f.7"; JSON may give the number 8 * slot + function."""

    def check(value: Any, path: Path) -> str | int:
        if string is json_values.scalar("str"):
            if type(value) is int:
                return value
            if type(value) is float:
                raise json_values.wrong_type(path, "integer")
            if type(value) is not str:
                raise QMPError("Invalid parameter type for 'addr', expected int or str")
        text: str = string(value, path)
        found = _PCI_ADDRESS.fullmatch(text)
        numbers = [int(part or "0", 16) for part in found.groups()] if found else [_SLOTS, 0]
        if numbers[0] >= _SLOTS or numbers[1] >= _FUNCTIONS:
            raise _refused(property_name, text)
        return text

    return check


_IN_MEMORY = "uint64"  # the type of an `addr` that is none on PCI
_SPECIAL = {"mac": _mac, "addr": _pci_address}


def _refused(property_name: str, text: str) -> QMPError:
    return QMPError(f"Property '{property_name}' doesn't take value '{text}'")


def _owner(profile: Profile, type_name: str, name: str) -> str:
    """The type that an error names: a PCI proxy's property is often its inner device's."""
    stem = type_name.removesuffix("-pci")
    for inner in (f"{stem}-device", stem):
        listed = profile.device_properties.get(inner) if inner != type_name else None
        if any(each["name"] == name for each in listed or []):
            return inner
    return type_name


def _as_options(given: Mapping[str, Any]) -> dict[str, str]:
    """JSON as the text that QEMU made of it; null, lists and objects were left out."""
    options = {}
    for name, value in given.items():
        match value:
            case bool():
                options[name] = "on" if value else "off"
            case str():
                options[name] = value
            case int() | float():
                options[name] = f"{value:.17g}" if isinstance(value, float) else str(value)
    return options
