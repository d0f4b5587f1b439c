"""What qom-set may write: it reads so afterwards, and QEMU's words tell what it may not."""

import pytest

from qemu_sim.testing.client import QMPError

OBJECTS = [
    *("-object", "iothread,id=io", "-object", "memory-backend-ram,id=m,size=1M"),
]
MACHINE, CPU, MEMORY, THREAD = (
    "/machine",
    "/machine/unattached/device[0]",
    "/objects/m",
    "/objects/io",
)

LATE = (
    "Attempt to set property 'sse2' on anonymous device (type 'qemu64-x86_64-cpu')"
    " after it was realized"
)


@pytest.fixture
def machine(make_machine):
    return make_machine("-M", "q35", *OBJECTS, "-device", "virtio-net-pci,id=nic0")


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (MACHINE, "usb", True),
        (MACHINE, "kernel", "x"),
        (MACHINE, "vmport", "off"),
        (MACHINE, "max-ram-below-4g", 1),
        (MACHINE, "x-oem-id", "abc"),
        (MACHINE, "phandle-start", 5),
        (MEMORY, "dump", False),
        (THREAD, "poll-max-ns", 5),
        ("nic0", "bootindex", 3),
    ],
)
def test_it_reads_as_it_was_written(machine, path, name, value):
    assert machine.execute("qom-set", path=path, property=name, value=value) == {}
    assert machine.execute("qom-get", path=path, property=name) == value


@pytest.mark.parametrize(
    ("path", "name", "value", "text"),
    [
        (MACHINE, "usb", "x", "Invalid parameter type for 'usb', expected: boolean"),
        (MACHINE, "kernel", 1, "Invalid parameter type for 'kernel', expected: string"),
        (MACHINE, "vmport", "bad", "Parameter 'vmport' does not accept value 'bad'"),
        (MACHINE, "max-ram-below-4g", "x", "Parameter 'max-ram-below-4g' expects uint64"),
        (
            MACHINE,
            "max-ram-below-4g",
            5 << 30,
            "Machine option 'max-ram-below-4g=5368709120' expects size less than or equal to 4G",
        ),
        (MACHINE, "memory-backend", "x", "Device 'x' not found"),
        (
            MACHINE,
            "x-oem-id",
            "abcdefghi",
            "User specified x-oem-id value is bigger than 6 bytes in size",
        ),
        (
            MACHINE,
            "nvdimm-persistence",
            "x",
            "-machine nvdimm-persistence=x: unsupported option",
        ),
        (
            MACHINE,
            "smbios-entry-point-type",
            "nope",
            "Parameter 'smbios-entry-point-type' does not accept value 'nope'",
        ),
        (
            CPU,
            "sse2",
            True,
            LATE,
        ),
        (MEMORY, "size", 5, "cannot change property size of memory-backend-ram "),
        (MEMORY, "share", True, "cannot change property value"),
        (
            THREAD,
            "poll-max-ns",
            -5,
            "poll-max-ns value must be in range [0, 9223372036854775807]",
        ),
        (
            "/chardevs/compat_monitor0",
            "addr",
            1,
            "Property 'chardev-socket.addr' is not writable",
        ),
        ("nic0", "bootindex", "x", "Invalid parameter type for 'bootindex', expected: integer"),
    ],
)
def test_what_may_not_be_written(machine, path, name, value, text):
    with pytest.raises(QMPError) as error:
        machine.execute("qom-set", path=path, property=name, value=value)
    assert error.value.desc == text


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (MACHINE, "suppress-vmdesc", True),
        (MACHINE, "smp", {"cpus": 2}),
    ],
)
def test_what_would_change_something_is_refused(machine, path, name, value):
    with pytest.raises(QMPError, match="not simulated by qemu-sim"):
        machine.execute("qom-set", path=path, property=name, value=value)


def test_a_thread_keeps_what_it_had_if_the_new_value_is_refused(machine):
    with pytest.raises(QMPError):
        machine.execute("qom-set", path=THREAD, property="poll-max-ns", value=-1)
    assert machine.execute("qom-get", path=THREAD, property="poll-max-ns") == 32768


def test_a_machine_without_ram_has_no_backend(make_machine):
    machine = make_machine("-M", "none")
    assert machine.execute("qom-get", path="/machine", property="memory-backend") == ""
