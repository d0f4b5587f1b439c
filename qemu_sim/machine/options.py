"""What a machine is made of, before any device: the plain settings.

QEMU: qemu-options.hx; our own settings are those of `-sim`.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """Settings of one machine; the defaults are QEMU's.

    `memory_size` is in bytes, `phase_timeout` in seconds. `incoming`: it waits for a
    migration. `guest_ipv4` and `guest_ipv6` are the addresses that the simulated guest
    answers for, empty for any.
    """

    name: str | None = None
    uuid: str | None = None
    machine_type: str = "none"
    memory_size: int = 128 * MIB
    memory_backend: str | None = None
    start_paused: bool = False
    incoming: bool = False
    profile: str | None = None
    extensions: bool = True
    guest_ipv4: frozenset[str] = frozenset()
    guest_ipv6: frozenset[str] = frozenset()
    phase_timeout: float = 10.0
    check_peer: bool = True
