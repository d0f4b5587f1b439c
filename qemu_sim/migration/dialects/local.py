"""The parameter `local`, which is queued for QEMU 11.2.

A TAP travels if `local` is on and its own option local-migration-supported is, which is so
unless it is switched off or the machine type is older. A destination decides when the
netdev is made, so `local` must be set before netdev_add; a TAP of the command line is open
already.

The TAP has a section of its own, one a queue. A destination that has not asked for it
knows the section, but has opened its TAP; one that has asked in vain is completed, with a
NIC that nothing is behind. (That there are such sections was said on qemu-devel; their name,
and that each destination knows them, is inferred from how QEMU's other sections work.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qemu_sim.errors import QMPError
from qemu_sim.migration.dialects.dialect import Dialect

if TYPE_CHECKING:
    from qemu_sim.migration.dialects.dialect import Netdev
    from qemu_sim.migration.transfer import Transferable

_NOT_UNIX = "local migration requires a UNIX domain socket channel"


class Local(Dialect):
    """A parameter, and an option of each TAP."""

    TYPE = "local"
    PARAMETERS: ClassVar = {"local": False}
    OWN_SECTION = True

    def check_channel(self, *, is_unix: bool) -> None:
        """Raise QMPError, on either side, if `local` is on and the channel is another."""
        if self._is_on and not is_unix:
            raise QMPError(_NOT_UNIX)

    def opens_late(self, netdev: Netdev) -> bool:
        """Whether descriptors are to come, as is known by now."""
        return netdev.TYPE != "tap" or (self._wants(netdev) and self.may_arrive(netdev))

    def stays_closed(self, device: Transferable) -> bool:
        """Whether it does; that was decided for each TAP when it was made."""
        tap = self.tap(device)
        return tap is not None and not tap.is_open

    def is_asked_for(self, device: Transferable, tap: Netdev) -> bool:
        """Whether both switches are on."""
        del device
        return self._wants(tap)

    @property
    def _is_on(self) -> bool:
        return bool(self._machine.parameters["local"])

    def _wants(self, tap: Netdev) -> bool:
        default = self._machine.transfer_by_default
        return self._is_on and bool(tap.options.get("local-migration-supported", default))
