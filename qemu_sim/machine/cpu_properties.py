"""What is known of a CPU's properties: the recorded model, less what the accelerator lacks.

QEMU: target/i386/cpu.c (x86_cpu_filter_features, x86_cpu_initfn), hw/core/qdev.c
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from qemu_sim.machine.cpus import CPU

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine
    from qemu_sim.qapi.profile import Profile

# QEMU computes these when the CPU is realized, which a recorded model was not.
_COMPUTED = frozenset({"apic-id", "guest-phys-bits", "hv-vendor-id", "phys-bits", "ucode-rev"})
# Other names of features; what differs by an underscore only is not listed.
_ALIASES = {
    "ffxsr": "fxsr-opt",
    "i64": "lm",
    "pclmuldq": "pclmulqdq",
    "sse3": "pni",
    "sse4-1": "sse4.1",
    "sse4-2": "sse4.2",
    "xd": "nx",
}
# A level that query-cpus-fast does not tell has one member, the first.
_PLACE = {"die-id": 0, "module-id": 0}
_REALIZED = {"realized": True, "hotpluggable": True, "parent_bus": ""}


def has_cpus(machine: Machine) -> bool:
    """Whether the machine type has any; `none` and `x-remote`, for example, have not."""
    return "default-cpu-type" in machine.profile.machines[machine.machine_type]


def cpu_type(machine: Machine) -> str:
    """Return the QOM type of the machine's CPUs."""
    if machine.options.cpu is not None:
        return machine.options.cpu.qom_type
    default: str = machine.profile.machines[machine.machine_type]["default-cpu-type"]
    return default


def cpu_values(machine: Machine, cpu: CPU) -> dict[str, Any]:
    """Return the known properties of a CPU; few if there is no record of its model."""
    values = dict(_model_values(machine.profile, cpu_type(machine)))
    given = machine.options.cpu.properties if machine.options.cpu is not None else {}
    for name, value in given.items():
        values |= dict.fromkeys([each for each in values if _feature(each) == name], value)
    return values | given | _PLACE | cpu.properties | _REALIZED | {"hotplugged": cpu.hotplugged}


@cache  # libvirt reads several hundred properties, one at a time
def _model_values(profile: Profile, qom_type: str) -> dict[str, Any]:
    """Return the model of `qom_type` as it was recorded, without the features it cannot have."""
    definitions = profile.section("query-cpu-definitions")
    definition = next(each for each in definitions if each["typename"] == qom_type)
    expansion = profile.cpu_expansions.get(definition["name"], {}).get("full")
    if expansion is None:
        return {}
    missing = definition["unavailable-features"]
    recorded: dict[str, Any] = expansion["model"]["props"]
    return {"unavailable-features": missing} | {
        name: value if _feature(name) not in missing else False
        for name, value in recorded.items()
        if name not in _COMPUTED
    }


def _feature(name: str) -> str:
    """Return the feature that a property's name, perhaps an alias, stands for."""
    return _ALIASES.get(name, name.replace("_", "-"))
