"""What machine-none-test and device-introspect-test do.

QEMU: tests/qtest/machine-none-test.c, tests/qtest/device-introspect-test.c
"""

import pytest


def test_machine_none_with_a_cpu(start):
    emulator = start("-machine none -cpu qemu64,apic-id=0").negotiate()
    assert emulator.execute("quit") == {"return": {}}
    assert emulator.wait_end() == 0


@pytest.fixture
def emulator(start):
    return start("-nodefaults -machine none").negotiate()


def types(emulator, **arguments):
    return emulator.execute("qom-list-types", **arguments)["return"]


def human(emulator, line):
    return emulator.execute("human-monitor-command", command_line=line)["return"]


def test_types_form_one_tree(emulator):
    every = {each["name"]: each for each in types(emulator, abstract=True)}
    for parent in (None, "device", "object"):
        listed = types(emulator, abstract=True, **({"implements": parent} if parent else {}))
        assert {each["name"] for each in listed} <= set(every)
    concrete = {each["name"] for each in types(emulator)}
    assert concrete == {name for name, each in every.items() if not each.get("abstract")}
    for name, each in every.items():
        parent = each.get("parent")
        assert parent in every or name in ("object", "interface")


@pytest.mark.parametrize("name", ["nonexistent", "device", "memory-region"])
def test_what_is_no_device_has_no_properties(emulator, name):
    answer = emulator.execute("device-list-properties", typename=name)
    assert answer["error"]["class"] in ("GenericError", "DeviceNotFound")


def test_introspection_changes_nothing(emulator):
    trees = [human(emulator, command) for command in ("info qom-tree", "info qtree")]
    for name in ("virtio-net-pci", "vhost-user-blk-pci", "e1000e", "pcie-root-port"):
        assert "return" in emulator.execute("device-list-properties", typename=name)
        human(emulator, f"device_add {name},help")
    human(emulator, "device_add help")
    assert [human(emulator, command) for command in ("info qom-tree", "info qtree")] == trees
