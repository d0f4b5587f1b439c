"""How a manager asks for a transfer in each dialect: what it sets, and where.

`nics` are the numbers of the NICs that are to travel, None where nothing is asked for. A
machine has the NICs 0 and 1.
"""

from __future__ import annotations

ALL = (0, 1)


class Speaker:
    """Asks for nothing. Options go to netdev_add and device_add."""

    def __init__(self, dialect, *, waits: bool) -> None:
        self.dialect = dialect
        self.waits = waits

    def netdev(self, number, nics) -> dict:
        return {}

    def device(self, number, nics) -> dict:
        return {}

    def before_netdevs(self, machine, nics) -> None:
        """Set what must be set before netdev_add."""

    def behind_devices(self, machine, nics) -> None:
        """Set what can only be set, or may still be set, behind device_add."""

    def arguments(self, nics) -> dict:
        """More arguments of `migrate`."""
        return {}

    def can_leave_out(self) -> bool:
        return True


class Local(Speaker):
    def netdev(self, number, nics):
        return {} if nics is None or number in nics else {"local-migration-supported": False}

    def before_netdevs(self, machine, nics):
        if nics is not None:
            machine.execute("migrate-set-parameters", local=True)


class Bool(Speaker):
    def device(self, number, nics):
        return {} if nics is None or number in nics else {"backend-transfer": False}

    def behind_devices(self, machine, nics):
        if nics is not None:
            machine.execute("migrate-set-parameters", backend_transfer=True)


class List(Speaker):
    def behind_devices(self, machine, nics):
        if nics is not None:
            listed = [each["path"] for each in machine.execute("query-backend-transfer-support")]
            wanted = {f"/machine/peripheral/nic{number}/virtio-backend" for number in nics}
            assert wanted <= set(listed)
            machine.execute("migrate-set-parameters", backend_transfer=sorted(wanted))


class Enum(Speaker):
    def behind_devices(self, machine, nics):
        if nics is not None:
            machine.execute("migrate-set-parameters", backend_transfer=["virtio-net-tap"])

    def can_leave_out(self):
        return False


class Capability(Speaker):
    def netdev(self, number, nics):
        return {"local-incoming": True} if self.waits and nics is not None else {}

    def behind_devices(self, machine, nics):
        if nics is not None:
            on = [{"capability": "local-tap", "state": True}]
            machine.execute("migrate-set-capabilities", capabilities=on)

    def can_leave_out(self):
        return False


class Devices(Speaker):
    """Only the source asks; what a destination can do is to refuse."""

    def device(self, number, nics):
        return {"backend-transfer": "off"} if self.waits and nics is None else {}

    def arguments(self, nics):
        if nics is None:
            return {}
        listed = [f"nic{number}" for number in nics]
        return {"backend-transfer": True} | (
            {} if nics == ALL else {"backend-transfer-devices": listed}
        )


SPEAKERS = {
    "local": Local,
    "bool": Bool,
    "list": List,
    "enum": Enum,
    "capability": Capability,
    "devices": Devices,
}
