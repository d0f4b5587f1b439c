"""Answers of idle machines that are not true of one with devices."""

import pytest

from qemu_sim.testing import QMPError

GUID = "11111111-2222-3333-4444-555555555555"


def test_a_usb_bus_is_there_with_its_controller(make_machine):
    machine = make_machine("-M", "q35")
    with pytest.raises(QMPError, match="USB support not enabled"):
        machine.execute("x-query-usb")
    machine = make_machine("-M", "q35", "-device", "qemu-xhci,id=usb")
    assert machine.execute("x-query-usb") == {"human-readable-text": ""}
    machine.execute("device_add", driver="usb-kbd")
    with pytest.raises(QMPError, match="not simulated by qemu-sim: x-query-usb with USB devices"):
        machine.execute("x-query-usb")


def test_a_generation_is_what_it_was_told(make_machine):
    with pytest.raises(QMPError, match="VM Generation ID device not found"):
        make_machine("-M", "q35").execute("query-vm-generation-id")
    machine = make_machine("-M", "q35", "-device", f"vmgenid,guid={GUID}")
    assert machine.execute("query-vm-generation-id") == {"guid": GUID}
    machine = make_machine("-M", "q35", "-device", "vmgenid")
    with pytest.raises(QMPError, match="not simulated by qemu-sim"):
        machine.execute("query-vm-generation-id")
