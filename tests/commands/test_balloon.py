"""A balloon device, which the simulated guest has no driver for."""

import pytest

from qemu_sim.testing.client import QMPError

BALLOON = ("-device", "virtio-balloon-pci,id=b0")
MIB = 1 << 20


def test_without_a_device_there_is_no_balloon(make_machine):
    machine = make_machine("-M", "q35", "-m", "64")
    with pytest.raises(QMPError, match=r"^No balloon device has been activated$"):
        machine.execute("balloon", value=MIB)
    with pytest.raises(QMPError, match=r"^No balloon device has been activated$"):
        machine.execute("query-balloon")


def test_the_guest_keeps_its_memory(make_machine):
    machine = make_machine("-M", "q35", "-m", "64", *BALLOON)
    machine.execute("balloon", value=32 * MIB)
    assert machine.execute("query-balloon") == {"actual": 64 * MIB}


@pytest.mark.parametrize(("profile", "name"), [("7.2", "target"), ("11.1", "value")])
def test_no_memory_at_all_is_refused(make_machine, profile, name):
    machine = make_machine("-M", "q35", "-m", "64", *BALLOON, "-sim", f"profile={profile}")
    with pytest.raises(QMPError, match=f"^Parameter '{name}' expects a size$"):
        machine.execute("balloon", value=0)


def test_one_balloon_is_enough(make_machine):
    machine = make_machine("-M", "pc", "-m", "64", *BALLOON)
    with pytest.raises(QMPError, match=r"^Only one balloon device is supported$"):
        machine.execute("device_add", driver="virtio-balloon-pci", id="b1")
