"""Virtio devices and their queues.

QEMU: qapi/virtio.json
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("x-query-virtio")
def x_query_virtio(machine: Machine) -> list[dict[str, str]]:
    """Return the virtio devices."""
    from qemu_sim.machine import virtio  # noqa: PLC0415 - not at a start

    return virtio.query(machine)


@command("x-query-virtio-status")
def x_query_virtio_status(machine: Machine, *, path: str) -> dict[str, Any]:
    """Return what one offers, and what its driver has done."""
    from qemu_sim.machine import virtio  # noqa: PLC0415 - not at a start

    return virtio.status(machine, path)


@command("x-query-virtio-queue-status")
def x_query_virtio_queue_status(machine: Machine, *, path: str, queue: int) -> dict[str, Any]:
    """Return where the ring of one queue is."""
    from qemu_sim.machine import virtio  # noqa: PLC0415 - not at a start

    return virtio.queue_status(machine, path, queue)


@command("x-query-virtio-queue-element")
def x_query_virtio_queue_element(
    machine: Machine, *, path: str, queue: int, index: int | None = None
) -> None:
    """Refuse: no ring is in guest RAM."""
    from qemu_sim.machine import virtio  # noqa: PLC0415 - not at a start

    del index
    virtio.check_element(machine, path, queue)


@command("x-query-virtio-vhost-queue-status")
def x_query_virtio_vhost_queue_status(machine: Machine, *, path: str, queue: int) -> None:
    """Refuse: there is no vhost device that could be told of."""
    from qemu_sim.machine import virtio  # noqa: PLC0415 - not at a start

    del queue
    virtio.check_vhost(machine, path)
