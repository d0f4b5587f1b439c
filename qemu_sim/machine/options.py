"""What a machine is made of, before any device: the plain settings.

QEMU: qemu-options.hx; our own settings are those of `-sim`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from qemu_sim.machine.topology import Topology
from qemu_sim.qapi.extension import DEVICES

MIB = 1 << 20
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ONE_CPU = Topology(1, 1, {})

Global = tuple[str, str, str]  # type, property, value


class CpuModel(NamedTuple):
    """The QOM type of the CPUs, and the properties that were given."""

    qom_type: str
    properties: dict[str, Any]


class MachineOptions(NamedTuple):
    """Settings of one machine; the defaults are QEMU's.

    `properties` are those of the machine object that were given, by their QOM name.
    The use of what has one of the `rejected` features, "deprecated" or "unstable", is an error.
    `cpu` is None for the model that the machine type has by default.
    `preconfig`: it waits for x-exit-preconfig. `actions` are those of -action.
    `debug_threads`: a CPU's thread has a name of its own.
    `memory_size` is in bytes, `phase_timeout` in seconds, `clock` as `clock.make` takes it.
    `dirty_rate`, `ram_used` and `migration_polls` are those of `GuestLoad` at the start.
    `loadvm` names the snapshot that it begins with.
    `incoming`: it waits for a migration. `guest_ipv4` and `guest_ipv6` are the addresses
    that the simulated guest answers for, empty for any.
    `dialect` is the way to ask for a backend transfer, if there are `extensions`.
    """

    name: str | None = None
    debug_threads: bool = False
    uuid: str | None = None
    machine_type: str = "none"
    properties: Mapping[str, Any] = _NOTHING
    accelerator: str = "tcg"
    cpu: CpuModel | None = None
    topology: Topology = _ONE_CPU
    globals: tuple[Global, ...] = ()
    memory_size: int = 128 * MIB
    memory_backend: str | None = None
    start_paused: bool = False
    preconfig: bool = False
    actions: Mapping[str, str] = _NOTHING
    loadvm: str | None = None
    incoming: bool = False
    profile: str | None = None
    extensions: bool = True
    dialect: str = DEVICES
    rejected: frozenset[str] = frozenset()
    guest_ipv4: frozenset[str] = frozenset()
    guest_ipv6: frozenset[str] = frozenset()
    phase_timeout: float = 10.0
    clock: str = "real"
    dirty_rate: int = 0
    ram_used: int | None = None
    migration_polls: int | None = None
    check_peer: bool = True

    @property
    def has_ram(self) -> bool:
        """Whether there is RAM: the machine type `none` has what was asked for with -m."""
        return self.machine_type != "none" or bool(self.properties.get("memory", {}).get("size"))

    @property
    def added_dialect(self) -> str | None:
        """The dialect that the interface shows; None where it is QEMU's own."""
        return self.dialect if self.extensions else None
