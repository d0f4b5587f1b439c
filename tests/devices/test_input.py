"""Mice and keyboards, and the bridge that takes plain PCI devices on q35."""


def test_mice_are_listed_newest_first(make_machine):
    argv = ["-machine", "pc", *("-device", "virtio-mouse-pci"), *("-device", "virtio-keyboard-pci")]
    machine = make_machine(*argv)
    machine.execute("device_add", driver="virtio-tablet-pci", id="tablet")
    assert machine.execute("query-mice") == [
        {"name": "QEMU Virtio Tablet", "index": 5, "current": False, "absolute": True},
        {"name": "QEMU Virtio Mouse", "index": 3, "current": False, "absolute": False},
        {"name": "QEMU PS/2 Mouse", "index": 2, "current": True, "absolute": False},
    ]
    machine.execute("device_del", id="tablet")
    machine.wait_event("DEVICE_DELETED", device="tablet")
    assert len(machine.execute("query-mice")) == 2


def test_mice_on_usb(make_machine):
    devices = ("piix3-usb-uhci,id=usb", "usb-kbd", "usb-tablet", "usb-mouse")
    machine = make_machine(
        "-machine", "pc", *(word for each in devices for word in ("-device", each))
    )
    listed = machine.execute("human-monitor-command", command_line="info mice")
    assert listed.split("\r\n")[:2] == [
        "  Mouse #5: QEMU HID Mouse",
        "  Mouse #4: QEMU HID Tablet (absolute)",
    ]


def test_a_bridge_takes_devices_while_the_machine_runs(make_machine):
    port, bridge = "pcie-root-port,id=port,chassis=1", "pcie-pci-bridge,id=bridge,bus=port"
    machine = make_machine("-machine", "q35", "-device", port, "-device", bridge)
    for number in range(2):
        machine.execute("device_add", driver="virtio-mouse-pci", id=f"m{number}", bus="bridge")
    machine.execute("device_del", id="m0")
    machine.wait_event("DEVICE_DELETED", device="m0")


def test_a_usb_device_moves_under_another_id(make_machine):
    """A manager may number devices anew, as libvirt does when it restores a domain."""
    usb = ("-M", "pc", "-device", "qemu-xhci,id=usb")
    source = make_machine(*usb, "-device", "usb-tablet,id=input0,bus=usb.0")
    source.execute("device_add", driver="usb-kbd", id="input3", bus="usb.0")
    there = ("-device", "usb-tablet,id=input0,bus=usb.0", "-device", "usb-kbd,id=input1,bus=usb.0")
    destination = make_machine(*usb, *there, "-incoming", "defer")
    assert source.migrate_to(destination).source.status == "completed"


def test_a_usb_device_is_missed(make_machine):
    usb = ("-M", "pc", "-device", "qemu-xhci,id=usb")
    source = make_machine(*usb, "-device", "usb-tablet,bus=usb.0,port=2")
    destination = make_machine(*usb, "-device", "usb-tablet,bus=usb.0", "-incoming", "defer")
    assert source.migrate_to(destination).source.status == "failed"
