"""When a destination opens a TAP: what must be set before what, in each dialect."""

import pytest

from qemu_sim.testing import QMPError as Refused

EARLY = "netdev_add", "device_add"
PARAMETER = {
    "local": {"local": True},
    "bool": {"backend-transfer": True},
    "enum": {"backend-transfer": ["virtio-net-tap"]},
    "list": {"backend-transfer": ["/machine/peripheral/nic0/virtio-backend"]},
}


def tap_is_open():
    with open("/proc/net/dev") as table:
        return "tap0:" in table.read()


class Waiting:
    """A destination without parts, and the steps that a manager takes with it."""

    def __init__(self, make_machine, tmp_path, dialect, machine="pc") -> None:
        argv = ("-M", machine, "-incoming", "defer", "-sim", f"dialect={dialect}")
        self.machine = make_machine(*argv)
        self.uri = f"unix:{tmp_path}/in"
        self.dialect = dialect

    def set(self):
        if self.dialect == "capability":
            on = [{"capability": "local-tap", "state": True}]
            self.machine.execute("migrate-set-capabilities", capabilities=on)
        else:
            self.machine.execute("migrate-set-parameters", PARAMETER[self.dialect])

    def add_netdev(self, **more):
        options = {"ifname": "tap0", "script": "no", "downscript": "no", **more}
        given = {name: value for name, value in options.items() if value is not None}
        self.machine.execute("netdev_add", {"type": "tap", "id": "net0", **given})

    def add_device(self, **more):
        given = {"driver": "virtio-net-pci", "id": "nic0", "netdev": "net0", **more}
        self.machine.execute("device_add", given)

    def listen(self):
        self.machine.execute("migrate-incoming", uri=self.uri)


@pytest.fixture
def waiting(netns, make_machine, tmp_path):
    return lambda dialect, **more: Waiting(make_machine, tmp_path, dialect, **more)


DECIDE_LATE = pytest.mark.parametrize("dialect", ["bool", "enum", "list"])


@DECIDE_LATE
def test_it_is_decided_in_migrate_incoming(waiting, dialect):
    destination = waiting(dialect)
    destination.add_netdev()
    destination.add_device()
    destination.set()
    destination.listen()
    assert not tap_is_open()


@DECIDE_LATE
def test_what_is_set_behind_migrate_incoming_is_too_late(waiting, dialect):
    destination = waiting(dialect)
    destination.add_netdev()
    destination.add_device()
    assert not tap_is_open()
    destination.listen()
    assert tap_is_open()
    destination.set()
    assert tap_is_open()


@DECIDE_LATE
@pytest.mark.parametrize(
    "options", [{"script": "/bin/true"}, {"downscript": None}, {"ifname": "tap%d"}], ids=str
)
def test_what_cannot_arrive_is_opened_where_it_is_made(waiting, dialect, options):
    """`tap%d` becomes tap0, the first that is free."""
    destination = waiting(dialect)
    destination.add_netdev(**options)
    assert tap_is_open()


def test_a_busy_tap_fails_migrate_incoming(waiting, make_machine):
    netdev = "tap,id=net0,ifname=tap0,script=no,downscript=no"
    make_machine("-netdev", netdev, name="owner")
    destination = waiting("bool")
    destination.add_netdev()
    destination.add_device()
    busy = r"could not configure /dev/net/tun \(tap0\): Device or resource busy"
    with pytest.raises(Refused, match=busy):
        destination.listen()
    destination.set()
    destination.listen()


def test_a_list_is_set_behind_device_add(waiting):
    destination = waiting("list")
    destination.add_netdev()
    with pytest.raises(Refused, match="Device '/machine/peripheral/nic0/virtio-backend' not found"):
        destination.set()


def test_local_is_set_before_netdev_add(waiting):
    destination = waiting("local")
    destination.set()
    destination.add_netdev()
    destination.add_device()
    destination.listen()
    assert not tap_is_open()


def test_local_set_behind_netdev_add_is_too_late(waiting):
    destination = waiting("local")
    destination.add_netdev()
    assert tap_is_open()


@pytest.mark.parametrize(
    ("machine", "options", "is_open"),
    [
        ("pc", {}, False),
        ("pc", {"local-migration-supported": False}, True),
        ("pc-i440fx-10.1", {}, True),
        ("pc-i440fx-10.1", {"local-migration-supported": True}, False),
        ("pc", {"script": "/bin/true"}, True),
    ],
    ids=str,
)
def test_an_option_of_the_tap_decides_with_local(waiting, machine, options, is_open):
    destination = waiting("local", machine=machine)
    destination.set()
    destination.add_netdev(**options)
    assert tap_is_open() == is_open


def test_the_property_decides_with_the_parameter(waiting):
    destination = waiting("bool", machine="pc-i440fx-10.1")
    destination.add_netdev()
    destination.add_device(**{"backend-transfer": True})
    destination.set()
    destination.listen()
    assert not tap_is_open()


@pytest.mark.parametrize("first", ["option", "capability"])
def test_local_incoming_alone_decides_in_the_capabilitys_dialect(waiting, first):
    destination = waiting("capability")
    if first == "capability":
        destination.set()
    destination.add_netdev(**{"local-incoming": True})
    destination.add_device()
    destination.listen()
    destination.set()
    assert not tap_is_open()


def test_without_local_incoming_a_tap_is_opened_at_once(waiting):
    destination = waiting("capability")
    destination.set()
    destination.add_netdev()
    assert tap_is_open()
