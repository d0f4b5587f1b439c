"""The parameter `backend-transfer` as a boolean: version 8, October 2025, meant for QEMU 10.2.

A TAP travels if the parameter is on and virtio-net's property of the same name is, which
is so unless it is switched off or the machine type is older. A destination decides in
migrate-incoming. The check of the channel is not in version 8; its author wrote it in the
discussion of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qemu_sim.errors import QMPError
from qemu_sim.migration.dialects.dialect import Dialect

if TYPE_CHECKING:
    from qemu_sim.migration.dialects.dialect import Netdev
    from qemu_sim.migration.transfer import Transferable

_NOT_UNIX = (
    "Migration requires a UNIX domain socket as transport, because backend-transfer is enabled"
)
_NAME = "backend-transfer"


class Bool(Dialect):
    """A parameter, and a property of each virtio-net."""

    TYPE = "bool"
    PARAMETERS: ClassVar = {_NAME: False}

    def check_channel(self, *, is_unix: bool) -> None:
        """Raise QMPError, on either side, if the parameter is on and the channel is another."""
        if self._machine.parameters[_NAME] and not is_unix:
            raise QMPError(_NOT_UNIX)

    def old_defaults(self, kind: str) -> dict[str, Any]:
        """Return that a NIC takes no part."""
        return {_NAME: False} if kind.startswith("virtio-net-") else {}

    def is_asked_for(self, device: Transferable, tap: Netdev) -> bool:
        """Whether both switches are on."""
        del tap
        return bool(self._machine.parameters[_NAME] and device.properties.get(_NAME, True))
