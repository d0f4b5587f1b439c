"""Over RDMA: as a QEMU that was built with it answers on a host without such hardware.

QEMU: migration/rdma.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.io.address import InetAddress
    from qemu_sim.migration.transport import Access


class RdmaTransport:
    """A host and a port."""

    NAME = "rdma"
    can_carry_fds = False
    can_be_many = False
    can_seek = False

    def __init__(self, address: InetAddress) -> None:
        self.address = address

    def connect(self, _: Access) -> NoReturn:
        """Refuse."""
        raise QMPError("RDMA ERROR: could not create CM channel")

    def listen(self, _: Access) -> NoReturn:
        """Refuse."""
        raise QMPError("RDMA ERROR: could not create rdma event channel")
