"""One property of a machine, a CPU or an accelerator, read from the command line's text.

QEMU: qom/object.c (object_property_set)

Devices have properties of more kinds: device_properties.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.json_values import Check
from qemu_sim.qapi.keyval_values import scalar as keyval_scalar
from qemu_sim.qapi.path import Path
from qemu_sim.qapi.pool import Entry
from qemu_sim.qapi.property_kinds import NUMBERS

_KINDS = NUMBERS | {"uint64_t": "uint64", "string": "str", "str": "str"}
_CHOICES = {
    "OnOffAuto": ("on", "off", "auto"),
    "on|off|split": ("on", "off", "split"),
    "NotifyVMexitOption": ("run", "internal-error", "disable"),
}


def find(owner: str, listed: Iterable[Entry], name: str) -> Entry:
    """Return the property `name` of the type `owner`. Raises QMPError in QEMU's words."""
    for entry in listed:
        if entry["name"] == name:
            return entry
    raise QMPError(f"Property '{owner}.{name}' not found")


def is_scalar(kind: str) -> bool:
    """Whether a property of that type is read here: no link, no list and no structure."""
    return kind in _KINDS or kind in _CHOICES


def read(entry: Entry, value: Any, scalar: Callable[[str], Check] = keyval_scalar) -> Any:
    """Return `value` as what the property `entry` holds.

    It is a text or a keyval object, or JSON with the `scalar` of that. Raises QMPError in
    QEMU's words. Links and objects stay as they are given.
    """
    name, kind = entry["name"], entry["type"]
    path: Path = (None, name)
    if kind not in _CHOICES:
        return scalar(_KINDS.get(kind, "any"))(value, path)
    text: str = scalar("str")(value, path)
    if text not in _CHOICES[kind]:
        raise QMPError(f"Parameter '{name}' does not accept value '{text}'")
    return text
