"""NICs whose netdev is removed before them."""

import pytest

from qemu_sim.testing import QMPError


@pytest.fixture
def machine(make_machine):
    netdev = ["-netdev", "user,id=net0"]
    return make_machine("-M", "pc", *netdev, "-device", "virtio-net-pci,id=nic,netdev=net0")


def test_the_id_is_free_for_another(machine):
    machine.execute("netdev_del", id="net0")
    with pytest.raises(QMPError, match="Device 'net0' not found"):
        machine.execute("set_link", name="net0", up=False)
    machine.execute("netdev_add", type="user", id="net0")
    machine.execute("device_add", driver="virtio-net-pci", id="other", netdev="net0")
    machine.execute("device_del", id="nic")
    with pytest.raises(QMPError, match=r"can't take value 'net0', it's in use"):
        machine.execute("device_add", driver="e1000", netdev="net0")


def test_the_nic_has_no_guest_any_more(machine):
    machine.execute("netdev_del", id="net0")
    machine.execute("set_link", name="nic", up=True)
    machine.execute("stop")
    machine.execute("cont")
    assert machine.execute("x-sim-query-guest") == []
    assert machine.execute("qom-get", path="nic", property="netdev") == "net0"


def test_a_nic_without_a_driver_tells_no_filter(machine):
    machine.execute("device_add", driver="e1000", id="old")
    with pytest.raises(QMPError, match=r"net client\(old\) doesn't support rx-filter querying"):
        machine.execute("query-rx-filter", name="old")
    assert [each["name"] for each in machine.execute("query-rx-filter")] == ["nic"]
