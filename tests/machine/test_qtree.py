"""What "info qtree" prints of devices that are not as they were recorded.

tests/data/sequences-* has what real QEMUs print, before and after their firmware has run.
"""

import re


def qtree(machine):
    text = machine.execute("human-monitor-command", {"command-line": "info qtree"})
    return [line.strip() for line in text.splitlines()]


def block(lines, id):
    """Return the lines after a device's, up to the next one's."""
    start = next(number for number, line in enumerate(lines) if line.endswith(f'id "{id}"'))
    ends = [number for number, line in enumerate(lines) if line.startswith("dev: ")]
    return lines[start + 1 : min((each for each in ends if each > start), default=None)]


def test_what_was_given_replaces_what_was_recorded(make_machine):
    nic = "virtio-net-pci,id=nic,addr=9,mac=52:54:00:00:00:01,ats=on,acpi-index=7"
    found = block(qtree(make_machine("-M", "q35", "-S", "-device", nic)), "nic")
    assert {"addr = 09.0", "ats = true", "acpi-index = 7 (0x7)"} <= set(found)
    assert any(", addr 00:09.0, pci id 1af4:1000 " in line for line in found)


def test_there_is_a_queue_for_each_cpu(make_machine):
    adapter = ["-device", "virtio-scsi-pci,id=s0"]
    lines = qtree(make_machine("-M", "q35", "-S", "-smp", "4", *adapter))
    assert "vectors = 7 (0x7)" in block(lines, "s0")
    assert "num_queues = 4 (0x4)" in lines


def test_what_was_the_recorders_is_not_shown(make_machine):
    drive = ["-blockdev", "null-co,node-name=n0,read-zeroes=on"]
    disk = ["-device", "ide-hd,id=disk,drive=n0"]
    found = block(qtree(make_machine("-M", "q35", "-S", *drive, *disk)), "disk")
    assert {'drive = "n0"', 'serial = ""'} <= set(found)
    assert not any(line.startswith("cyls") for line in found)


def test_ram_is_this_machines(make_machine):
    lines = qtree(make_machine("-M", "q35", "-S", "-m", "4G"))
    assert "below-4g-mem-size = 2147483648 (2 GiB)" in lines
    assert "above-4g-mem-size = 2147483648 (2 GiB)" in lines


def test_only_names_are_printed_in_brief(make_machine):
    machine = make_machine("-M", "pc", "-device", "e1000,id=nic")
    text = machine.execute("human-monitor-command", {"command-line": "info qtree -b"})
    assert '      dev: e1000, id "nic"' in text.splitlines()
    assert not re.search("addr|mac", text)
