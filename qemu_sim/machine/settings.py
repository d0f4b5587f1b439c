"""The settings of a machine, made of what a command line asks for.

QEMU: system/vl.c (qemu_apply_machine_options, configure_accelerators, qemu_init)

What depends on the machine type or on the profile is checked here, in QEMU's order, before
the machine exists.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_pton
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.machine import accelerator, memory_limits
from qemu_sim.machine.configuration import StartError
from qemu_sim.machine.machine_properties import machine_properties
from qemu_sim.machine.options import CpuModel, Global, MachineOptions
from qemu_sim.machine.topology import Topology, topology
from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.extension import DEVICES
from qemu_sim.qapi.sizes import parse_size

if TYPE_CHECKING:
    from qemu_sim.machine.configuration import Configuration
    from qemu_sim.qapi.profile import Profile

_DEFAULT_MACHINE = "pc"


def machine_options(
    configuration: Configuration, sim: dict[str, Any], say: Callable[[str], None]
) -> MachineOptions:
    """Return the settings; what does not end the start is said to `say`.

    `sim` holds the checked settings of -sim. Raises QMPError, or StartError where the
    message names an option.
    """
    given = configuration.machine
    profile = profiles.load(sim.get("profile"))
    machine_type = profile.resolve_machine(given.get("type", _DEFAULT_MACHINE))
    cpus = _topology(profile, machine_type, given.get("smp", {}))
    memory = memory_limits.from_machine_property(given.get("memory", {})) | configuration.memory
    if "size" not in memory:
        memory |= _backend_size(configuration, given.get("memory-backend"))
    size = memory_limits.memory_size(memory)
    has_ram = machine_type != "none" or "size" in memory
    shown = {
        "smp": cpus.to_qapi(profile.version),
        "memory": memory_limits.to_machine_property(memory, size if has_ram else 0),
    }
    properties = machine_properties(profile, machine_type, given)
    accelerated = accelerator.choose(profile, given.get("accel"), configuration.accelerators, say)
    defaults = _globals(configuration)
    return MachineOptions(
        name=configuration.name,
        debug_threads=configuration.debug_threads,
        uuid=configuration.uuid,
        machine_type=machine_type,
        properties=shown | properties,
        accelerator=accelerated,
        cpu=_cpu(profile, configuration.cpu, accelerated, defaults),
        topology=cpus,
        globals=defaults,
        memory_size=size,
        memory_backend=given.get("memory-backend"),
        start_paused=configuration.start_paused,
        preconfig=configuration.preconfig,
        actions=configuration.actions,
        loadvm=configuration.loadvm,
        incoming=configuration.incoming is not None,
        rejected=frozenset(configuration.rejected).union(sim.get("strict", ())),
        **_own(sim),
    )


def _own(sim: dict[str, Any]) -> dict[str, Any]:
    """Return what no option of QEMU's says, by the names of MachineOptions. Raises QMPError."""
    return {
        "profile": sim.get("profile"),
        "extensions": sim.get("extensions", True),
        "dialect": _dialect(sim),
        "guest_ipv4": _addresses(sim, "guest-ipv4", AF_INET),
        "guest_ipv6": _addresses(sim, "guest-ipv6", AF_INET6),
        "phase_timeout": _timeout(sim.get("phase-timeout", 10.0)),
        "check_peer": sim.get("peer-check", True),
        "clock": _clock(sim.get("clock", "real")),
        "dirty_rate": sim.get("guest-dirty-rate", 0),
        "ram_used": sim.get("guest-ram-used"),
        "migration_polls": sim.get("migration-polls"),
    }


def _backend_size(configuration: Configuration, id: str | None) -> dict[str, int]:
    """Return the size of the object that is to be the machine's RAM, if it says one."""
    for given in configuration.objects:
        size = given.values.get("size")
        if id is not None and given.values.get("id") == id and size:
            with given.blame():
                return {"size": size if given.typed else parse_size("size", size)}
    return {}


def _topology(profile: Profile, machine_type: str, smp: Any) -> Topology:
    if not isinstance(smp, dict):
        raise QMPError("Invalid parameter type for 'smp', expected: object")
    most = profile.machines[machine_type]["cpu-max"]
    return topology(smp, machine_type, most, profile.version)


def _cpu(
    profile: Profile, text: str | None, accelerated: str, defaults: tuple[Global, ...]
) -> CpuModel | None:
    if text is None:
        return None
    from qemu_sim.machine.cpu_model import cpu_model  # noqa: PLC0415 - only with -cpu

    return cpu_model(profile, text, accelerated, defaults)


def _globals(configuration: Configuration) -> tuple[Global, ...]:
    return tuple(
        (given.values["driver"], given.values["property"], given.values["value"])
        for given in configuration.globals
    )


def _dialect(sim: dict[str, Any]) -> str:
    if "dialect" in sim and not sim.get("extensions", True):
        raise StartError("-sim: Parameter 'dialect' requires extensions=on")
    return str(sim.get("dialect", DEVICES))


def _timeout(seconds: float) -> float:
    if not 0 < seconds < float("inf"):
        raise StartError("-sim: Parameter 'phase-timeout' expects a time in seconds, more than 0")
    return seconds


def _clock(text: str) -> str:
    if text == "real":
        return text
    from qemu_sim import clock  # noqa: PLC0415 - it loads asyncio

    try:
        clock.make(text)
    except QMPError as error:
        raise StartError(f"-sim: {error}") from None
    return text


def _addresses(sim: dict[str, Any], key: str, family: int) -> frozenset[str]:
    addresses: list[str] = sim.get(key, [])
    for address in addresses:
        try:
            inet_pton(family, address)
        except OSError:
            raise StartError(
                f"-sim: Parameter '{key}' expects an address, not '{address}'"
            ) from None
    return frozenset(addresses)
