"""A CPU that is plugged beside those which a machine starts with, such as qemu64-x86_64-cpu.

QEMU: target/i386/cpu.c, hw/i386/x86-common.c

There is a type for each model, so its class is made when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.devices.device import Device

if TYPE_CHECKING:
    from qemu_sim.devices.device import Parts

_SUFFIX = "-x86_64-cpu"


class X86CPU(Device):
    """A CPU that the guest takes into use, and gives back when it is asked to."""

    BUS = "none"

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Take the place that the properties tell. Raises QMPError in QEMU's words."""
        super().__init__(id, path, properties, parts)
        self.cpu_number = parts.find_cpu_slot(self.TYPE, properties)


def of_type(kind: str) -> type[X86CPU] | None:
    """Return the class of a CPU model's type; None for what is none."""
    if not kind.endswith(_SUFFIX):
        return None
    return type("X86CPUModel", (X86CPU,), {"TYPE": kind})
