"""A primary NIC is there when its standby is, and stays behind when the machine moves."""

import pytest

from qemu_sim.testing import QMPError

ROOTS = [f"pcie-root-port,id=root{n},chassis={n},bus=pcie.0" for n in range(2)]
STANDBY = "virtio-net-pci,id=standby0,bus=root0,failover=on"
PRIMARY = "virtio-net-pci,id=primary0,bus=root1,failover_pair_id=standby0"
HOTPLUG = {"driver": "virtio-net-pci", "id": "primary0", "bus": "root1"}


@pytest.fixture
def make(make_machine):
    """Make a machine with these devices; its migrations are told."""

    def made(*devices, more=()):
        options = [word for device in (*ROOTS, *devices) for word in ("-device", device)]
        machine = make_machine("-M", "q35", "-m", "16", *options, *more)
        events = [{"capability": "events", "state": True}]
        machine.execute("migrate-set-capabilities", capabilities=events)
        return machine

    return made


def ids(machine):
    found = machine.execute("qom-list", path="/machine/peripheral")
    return {each["name"] for each in found} - {"type", "root0", "root1"}


def told(machine):
    return [
        each.get("data", {}).get("status") or each["event"]
        for each in machine.events
        if each["event"] not in ("MIGRATION_PASS", "X_SIM_MIGRATION_HELD", "NIC_RX_FILTER_CHANGED")
    ]


@pytest.fixture
def source(make):
    return make(STANDBY, PRIMARY)


@pytest.fixture
def destination(make):
    return make(STANDBY, PRIMARY, more=("-incoming", "defer"))


def migrate(source, destination):
    source.execute("migrate", uri=destination.listen())


def test_a_primary_waits_for_the_driver_of_its_standby(make):
    machine = make(STANDBY, PRIMARY, more=("-S",))
    assert ids(machine) == {"standby0"}
    machine.execute("cont")
    event = machine.wait_event("FAILOVER_NEGOTIATED")
    assert event["data"] == {"device-id": "standby0"}
    assert ids(machine) == {"standby0", "primary0"}


def test_without_failover_a_primary_is_a_nic_like_any_other(make):
    machine = make("virtio-net-pci,id=standby0,bus=root0", PRIMARY, more=("-S",))
    assert ids(machine) == {"standby0", "primary0"}


def test_plugged_later_a_primary_is_there_at_once(make):
    machine = make(STANDBY)
    machine.execute("device_add", {**HOTPLUG, "failover_pair_id": "standby0"})
    assert ids(machine) == {"standby0", "primary0"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"id": "other"}, "more than one primary device to 'standby0': 'primary0' and 'other'"),
        ({"id": None}, "Device with failover_pair_id needs to have id"),
        (
            {"id": "x", "driver": "virtio-blk-pci", "failover_pair_id": "nobody", "drive": "n0"},
            "failover primary device is not an Ethernet device",
        ),
    ],
)
def test_what_cannot_be_a_primary_is_refused(make, changes, error):
    machine = make(STANDBY, PRIMARY, more=("-S",))
    machine.execute("blockdev-add", {"driver": "null-co", "node-name": "n0"})
    asked = {**HOTPLUG, "failover_pair_id": "standby0", **changes}
    with pytest.raises(QMPError, match=error):
        machine.execute("device_add", {key: each for key, each in asked.items() if each})


def test_on_a_bus_of_the_old_kind_there_are_no_primaries(make_machine):
    machine = make_machine("-M", "pc", "-m", "16")
    asked = {"driver": "virtio-net-pci", "id": "a", "failover_pair_id": "b"}
    with pytest.raises(QMPError, match="failover primary device must be on PCIExpress bus"):
        machine.execute("device_add", asked)


def test_a_migration_leaves_the_primary_and_plugs_another(source, destination):
    source.hold("wait-unplug")
    migrate(source, destination)
    source.wait_held("wait-unplug")
    assert source.wait_event("UNPLUG_PRIMARY")["data"] == {"device-id": "primary0"}
    assert source.execute("query-migrate")["status"] == "wait-unplug"
    source.release()
    for side in (source, destination):
        side.wait_event("MIGRATION", status="completed")
    way = ["UNPLUG_PRIMARY", "wait-unplug", "active", "STOP", "device", "completed"]
    assert told(source)[-7:] == ["setup", *way]
    assert told(destination)[-3:] == ["FAILOVER_NEGOTIATED", "RESUME", "completed"]
    assert ids(destination) == {"standby0", "primary0"}


def test_a_guest_that_stands_still_gives_nothing_back(source, destination):
    source.execute("stop")
    migrate(source, destination)
    source.wait_event("MIGRATION", status="wait-unplug")
    assert source.execute("query-migrate")["status"] == "wait-unplug"
    source.execute("cont")
    destination.wait_event("MIGRATION", status="completed")


@pytest.mark.parametrize("point", ["wait-unplug", "active"])
def test_who_cancels_gets_the_primary_again(source, destination, point):
    source.hold(point)
    migrate(source, destination)
    source.wait_held(point)
    source.execute("migrate_cancel")
    source.wait_event("MIGRATION", status="cancelled")
    assert "STOP" not in told(source)
    device = source.unwrapped.launch._host.machine.board.device("primary0")
    assert not device.unplugged


def test_after_a_reset_the_driver_begins_anew(source):
    source.execute("system_reset")
    source.wait_event("FAILOVER_NEGOTIATED")
    assert ids(source) == {"standby0", "primary0"}
