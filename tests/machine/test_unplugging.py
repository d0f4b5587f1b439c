"""Who takes a device from a machine, and when. tests/data/sequences-* has what real QEMUs did."""

import pytest

from qemu_sim.testing import QMPError

CPUS = ["-smp", "1,maxcpus=2,sockets=2"]
PLACE = {"socket-id": 1, "core-id": 0, "thread-id": 0}


@pytest.fixture
def stopped(make_machine):
    return make_machine("-M", "pc", "-S", "-device", "virtio-rng-pci,id=rng", *CPUS)


def deleted(machine):
    return [event["data"].get("device") for event in machine.events if _is_deletion(event)]


def _is_deletion(event):
    return event["event"] == "DEVICE_DELETED" and "device" in event["data"]


def test_a_guest_that_is_stopped_gives_a_device_back_once_it_runs(stopped):
    stopped.execute("device_del", id="rng")
    with pytest.raises(QMPError, match="Device rng is already in the process of unplug"):
        stopped.execute("device_del", id="rng")
    assert deleted(stopped) == []
    stopped.execute("cont")
    stopped.wait_event("DEVICE_DELETED", device="rng")
    with pytest.raises(QMPError, match="Device 'rng' not found"):
        stopped.execute("device_del", id="rng")


def test_a_reset_takes_a_pci_device_and_no_cpu(stopped):
    stopped.execute("device_add", driver="qemu64-x86_64-cpu", id="cpu", **PLACE)
    for id in ("cpu", "cpu", "rng"):
        stopped.execute("device_del", id=id)
    stopped.execute("system_reset")
    stopped.wait_event("DEVICE_DELETED", device="rng")
    assert deleted(stopped) == ["rng"]
    stopped.execute("cont")
    stopped.wait_event("DEVICE_DELETED", device="cpu")


def test_what_no_guest_is_asked_for_leaves_at_once(make_machine):
    machine = make_machine("-M", "q35", "-S", "-device", "qemu-xhci", "-device", "usb-kbd,id=kbd")
    machine.execute("device_del", id="kbd")
    machine.wait_event("DEVICE_DELETED", device="kbd")


def test_an_older_one_keeps_its_cpus_until_a_guest_runs(make_machine):
    machine = make_machine("-M", "pc", "-S", "-sim", "profile=7.2", *CPUS)
    machine.execute("device_add", driver="qemu64-x86_64-cpu", id="cpu", **PLACE)
    with pytest.raises(QMPError, match="acpi: device unplug request for not supported device"):
        machine.execute("device_del", id="cpu")
    machine.execute("cont")
    machine.execute("device_del", id="cpu")
    machine.wait_event("DEVICE_DELETED", device="cpu")
