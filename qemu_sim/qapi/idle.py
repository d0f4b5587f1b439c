"""Queries whose answer depends on the kind of machine alone, as long as nothing happens in it.

QEMU: qapi/*.json

Recording asks a machine of each family, and a simulated one answers what was recorded.
"""

from __future__ import annotations

FAMILIES = ("none", "pc", "q35", "microvm")

IDLE_QUERIES = (
    "cancel-vcpu-dirty-limit",
    "inject-nmi",
    "query-audiodevs",
    "query-chardev-backends",
    "query-colo-status",
    "query-cryptodev",
    "query-current-machine",
    "query-display-options",
    "query-dump-guest-memory-capability",
    "query-firmware-log",
    "query-gic-capabilities",
    "query-hv-balloon-status-report",
    "query-mice",
    "query-pci",
    "query-pr-managers",
    "query-replay",
    "query-s390x-cpu-polarization",
    "query-sev",
    "query-sev-capabilities",
    "query-sev-launch-measure",
    "query-sgx",
    "query-sgx-capabilities",
    "query-spice",
    "query-tpm",
    "query-vcpu-dirty-limit",
    "query-vm-generation-id",
    "query-xen-replication-status",
    "replay-delete-break",
    "x-accel-stats",
    "x-colo-lost-heartbeat",
    "x-query-interrupt-controllers",
    "x-query-irq",
    "x-query-jit",
    "x-query-numa",
    "x-query-opcount",
    "x-query-profile",
    "x-query-rdma",
    "x-query-roms",
    "x-query-usb",
    "xen-colo-do-checkpoint",
    "xen-event-list",
)


def family(machine_type: str) -> str | None:
    """Return the family of a machine type such as "pc-q35-11.1"; None where none was asked."""
    if machine_type in ("none", "microvm"):
        return machine_type
    if machine_type.startswith("pc-q35-"):
        return "q35"
    return "pc" if machine_type.startswith("pc-i440fx-") else None
