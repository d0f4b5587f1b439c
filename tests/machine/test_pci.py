"""What query-pci tells as a machine starts, is plugged into and is reset.

tests/data/sequences-* has the same of real QEMUs, byte by byte, for many more devices.
"""

import pytest

from qemu_sim.testing import QMPError

BRIDGES = ["-device", "pcie-root-port,id=port,chassis=1", "-device", "e1000,id=nic,bus=port"]


def functions(machine):
    """Return the PciDeviceInfo by qdev_id, behind bridges too."""
    found = {}
    waiting = [device for bus in machine.execute("query-pci") for device in bus["devices"]]
    while waiting:
        device = waiting.pop()
        found[device["qdev_id"]] = device
        waiting += device.get("pci_bridge", {}).get("devices", [])
    return found


def addresses(device):
    return [region["address"] for region in device["regions"] if region["bar"] == 0]


def test_the_firmware_numbers_buses_once_the_guest_starts(make_machine):
    machine = make_machine("-M", "q35", "-S", *BRIDGES)
    assert "nic" not in functions(machine)
    machine.execute("cont")
    assert functions(machine)["nic"]["bus"] == 1
    assert addresses(functions(machine)["nic"]) != [-1]


def test_what_is_plugged_later_has_no_address_before_a_reset(make_machine):
    machine = make_machine("-M", "pc")
    machine.execute("device_add", driver="e1000", id="late")
    assert addresses(functions(machine)["late"]) == [-1]
    machine.execute("system_reset")
    assert addresses(functions(machine)["late"]) != [-1]


def test_a_stopped_machine_that_was_reset_has_no_addresses(make_machine):
    machine = make_machine("-M", "pc", "-device", "e1000,id=nic")
    machine.execute("stop")
    assert addresses(functions(machine)["nic"]) != [-1]
    machine.execute("system_reset")
    assert addresses(functions(machine)["nic"]) == [-1]


def test_a_place_is_free_again(make_machine):
    machine = make_machine("-M", "pc", "-device", "e1000,id=nic,addr=5")
    text = "PCI: slot 5 function 0 not available for e1000, in use by e1000,id=nic"
    with pytest.raises(QMPError, match=text):
        machine.execute("device_add", driver="e1000", id="other", addr="5")
    machine.execute("device_del", id="nic")
    machine.wait_event("DEVICE_DELETED", device="nic")
    machine.execute("device_add", driver="e1000", id="other", addr="5")


def test_a_bus_of_its_own_goes_with_its_bridge(make_machine):
    machine = make_machine("-M", "pc", "-device", "pci-bridge,id=bridge,chassis_nr=1")
    machine.execute("device_add", driver="e1000", id="nic", bus="bridge")
    machine.execute("device_del", id="nic")
    machine.execute("device_del", id="bridge")
    with pytest.raises(QMPError, match="Bus 'bridge' not found"):
        machine.execute("device_add", driver="e1000", bus="bridge")


def test_what_cannot_be_told_is_said(make_machine):
    machine = make_machine("-M", "pc", "-device", "virtio-net-pci,id=nic,vectors=0")
    with pytest.raises(QMPError, match="not simulated by qemu-sim: query-pci of 'nic'"):
        machine.execute("query-pci")
