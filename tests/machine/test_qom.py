"""The tree of a machine that really has a root port, NICs, RAM and a chardev."""

from types import SimpleNamespace

import pytest

from qemu_sim.errors import DeviceNotFound, QMPError
from qemu_sim.machine.board import Board
from qemu_sim.machine.buses import Buses
from qemu_sim.machine.cpus import CPUs
from qemu_sim.machine.options import MachineOptions
from qemu_sim.machine.qom import ObjectTree
from qemu_sim.qapi import profile as profiles

MIB = 1 << 20
NIC0 = "/machine/peripheral/nic0"
NIC1 = "/machine/peripheral-anon/device[0]"
TOO_LATE = "Attempt to set property '{}' on {} (type '{}') after it was realized"


def make_machine(profile="11.1", machine_type="pc-q35-11.1", **options):
    settings = MachineOptions(machine_type=machine_type, memory_size=64 * MIB, **options)
    return SimpleNamespace(
        profile=profiles.load(profile),
        machine_type=machine_type,
        options=settings,
        cpus=CPUs(settings, ()),
        execution=SimpleNamespace(found=None),
        board=Board(settings, Buses(machine_type), lambda _kind, given, _typed: given),
    )


async def fill(machine):
    board = machine.board
    board.add_object("memory-backend-memfd", "mem0", {"size": 64 * MIB, "dump": False})
    await board.chardevs.add("null", "c0", {})
    await board.add_device("pcie-root-port", "rp1", {"chassis": 1}, hotplug=False)
    given = {"mac": "52:54:00:12:34:99", "bus": "rp1", "mq": True}
    await board.add_device("virtio-net-pci", "nic0", given, hotplug=False)
    await board.add_device("virtio-net-pci", None, {}, hotplug=False)


@pytest.fixture
async def machine():
    made = make_machine(memory_backend="mem0")
    await fill(made)
    yield made
    made.board.close()


@pytest.fixture
def tree(machine):
    return ObjectTree(machine)


@pytest.fixture
def get(tree):
    return lambda path, name: tree.value(tree.find(path), name)


@pytest.fixture
def refusal(tree):
    def text(path, name, ask=tree.value):
        with pytest.raises(QMPError) as caught:
            ask(tree.find(path), name)
        return str(caught.value)

    return text


def children(tree, path):
    listed = tree.properties(tree.find(path))
    return {name: kind for name, kind in listed.items() if kind.startswith("child<")}


class TestShape:
    def test_root(self, tree):
        assert tree.properties(tree.find("/")) == {
            "type": "string",
            "backend": "child<container>",
            "machine": "child<pc-q35-11.1-machine>",
            "objects": "child<container>",
            "chardevs": "child<container>",
            "audiodevs": "child<container>",
        }

    def test_parts_stand_where_qemu_puts_them(self, tree):
        assert children(tree, "/objects") == {"mem0": "child<memory-backend-memfd>"}
        assert children(tree, "/chardevs") == {"c0": "child<chardev-null>"}
        assert children(tree, "/machine/peripheral") == {
            "rp1": "child<pcie-root-port>",
            "nic0": "child<virtio-net-pci>",
        }
        assert children(tree, "/machine/peripheral-anon") == {"device[0]": "child<virtio-net-pci>"}
        unattached = children(tree, "/machine/unattached")
        assert unattached["device[0]"] == "child<qemu64-x86_64-cpu>"
        assert unattached["sysbus"] == "child<System>"
        assert children(tree, NIC0)["virtio-backend"] == "child<virtio-net-device>"
        assert children(tree, NIC0)["msix-table[0]"] == "child<memory-region>"

    def test_a_device_that_is_gone_leaves_no_trace(self, machine):
        machine.board.delete_device("nic0")
        assert "nic0" not in children(ObjectTree(machine), "/machine/peripheral")

    def test_ram_without_a_backend_is_what_qemu_makes_of_it(self):
        tree = ObjectTree(make_machine())
        assert children(tree, "/objects") == {"pc.ram": "child<memory-backend-ram>"}
        assert tree.value(tree.find("pc.ram"), "size") == 64 * MIB
        assert tree.value(tree.find("/machine"), "memory-backend") == "/objects/pc.ram"

    def test_qemu_7_2_makes_containers_when_it_needs_them(self):
        tree = ObjectTree(make_machine("7.2", "none"))
        assert list(tree.properties(tree.find("/"))) == ["type", "machine", "chardevs"]

    async def test_a_pc_has_another_bus(self):
        machine = make_machine(machine_type="pc-i440fx-11.1")
        await machine.board.add_device("virtio-net-pci", "n", {}, hotplug=False)
        tree = ObjectTree(machine)
        assert tree.value(tree.find("n"), "parent_bus") == "/machine/i440fx/pci.0"
        machine.board.close()


class TestPaths:
    @pytest.mark.parametrize(
        "path", [NIC0, "nic0", "peripheral/nic0", "//machine//peripheral/nic0/"]
    )
    def test_absolute_and_partial(self, tree, path):
        assert tree.find(path).path == NIC0

    @pytest.mark.parametrize("path", ["/nope", "nope", "/machine/nope", "type", f"{NIC0}/mac"])
    def test_not_found(self, tree, path):
        with pytest.raises(DeviceNotFound, match=f"^Device '{path}' not found$"):
            tree.find_unambiguous(path)

    @pytest.mark.parametrize("path", ["", "virtio-backend", "rp1", "parent_bus"])
    def test_ambiguous(self, tree, path):
        with pytest.raises(QMPError, match=f"^Path '{path}' is ambiguous$") as caught:
            tree.find_unambiguous(path)
        assert caught.value.class_ == "GenericError"
        with pytest.raises(DeviceNotFound, match=f"^Device '{path}' not found$"):
            tree.find(path)

    def test_links_are_followed(self, tree):
        assert tree.find("nic0/parent_bus").path == "/machine/peripheral/rp1/rp1"
        assert tree.find("/machine/memory-backend").path == "/objects/mem0"


class TestValues:
    def test_what_was_given(self, get):
        assert get("nic0", "mac") == "52:54:00:12:34:99"
        assert get("nic0", "mq") is True
        assert get("/machine/peripheral/rp1", "chassis") == 1
        assert get("mem0", "size") == 64 * MIB
        assert get("mem0", "dump") is False

    def test_what_was_chosen(self, get, machine):
        assert get(NIC1, "mac") == machine.board.devices[2].mac
        assert get("mem0", "share") is machine.board.objects["mem0"].memory.shared

    def test_defaults(self, get):
        assert get(NIC1, "mq") is False
        assert get(NIC1, "rx_queue_size") == 256
        assert get(NIC1, "netdev") == ""

    def test_the_proxy_and_its_backend_agree(self, get):
        assert get(f"{NIC0}/virtio-backend", "mac") == get(NIC0, "mac")

    def test_types_children_and_links_are_paths(self, get):
        assert get("nic0", "type") == "virtio-net-pci"
        assert get("/machine", "peripheral") == "/machine/peripheral"
        assert get(NIC1, "parent_bus") == "/machine/q35/pcie.0"
        assert get("nic0", "parent_bus") == "/machine/peripheral/rp1/rp1"

    def test_unknown_property(self, refusal):
        assert refusal("nic0", "nope") == "Property 'virtio-net-pci.nope' not found"
        assert refusal("/objects", "x") == "Property 'container.x' not found"

    @pytest.mark.parametrize(
        ("name", "value"), [("addr", 0), ("vectors", 4), ("romfile", "efi-virtio.rom")]
    )
    def test_what_qemu_computes_was_recorded(self, tree, name, value):
        assert tree.value(tree.find("nic0"), name) == value

    async def test_a_default_that_an_older_machine_type_replaces_is_not_shown(self):
        machine = make_machine(machine_type="pc-q35-7.2")
        await machine.board.add_device("virtio-net-pci", "n", {}, hotplug=False)
        tree = ObjectTree(machine)
        assert tree.value(tree.find("n"), "mq") is False
        with pytest.raises(QMPError, match="not simulated"):
            tree.value(tree.find("n"), "guest_uso4")  # off before 8.2, on since
        machine.board.close()


class TestSetting:
    @pytest.mark.parametrize(
        ("path", "name", "text"),
        [
            ("nic0", "nope", "Property 'virtio-net-pci.nope' not found"),
            ("nic0", "type", "Property 'virtio-net-pci.type' is not writable"),
            ("nic0", "parent_bus", "Property 'virtio-net-pci.parent_bus' is not writable"),
            ("/machine", "peripheral", "Property 'pc-q35-11.1-machine.peripheral' is not writable"),
            (
                "nic0",
                "rombar",
                TOO_LATE.format("rombar", "device 'nic0'", "virtio-net-pci"),
            ),
            (
                "nic0",
                "mac",
                TOO_LATE.format("mac", "anonymous device", "virtio-net-device"),
            ),
            (
                NIC1,
                "rombar",
                TOO_LATE.format("rombar", "anonymous device", "virtio-net-pci"),
            ),
        ],
    )
    def test_is_refused(self, tree, refusal, path, name, text):
        assert refusal(path, name, tree.check_settable) == text

    @pytest.mark.parametrize(("path", "name"), [("nic0", "bootindex"), ("mem0", "dump")])
    def test_is_allowed(self, tree, path, name):
        tree.check_settable(tree.find(path), name)


class TestOurOwnProperty:
    def test_reads_as_its_default(self, get):
        assert get("nic0", "backend-transfer") == "auto"

    async def test_reads_as_given(self):
        machine = make_machine()
        given = {"backend-transfer": "off"}
        await machine.board.add_device("virtio-net-pci", "n", given, hotplug=False)
        tree = ObjectTree(machine)
        assert tree.value(tree.find("n"), "backend-transfer") == "off"
        machine.board.close()

    def test_is_not_there_without_extensions(self):
        machine = make_machine(extensions=False)
        tree = ObjectTree(machine)
        node = tree.find("/").add("x", "virtio-net-pci")
        assert "mac" in tree.properties(node)
        assert "backend-transfer" not in tree.properties(node)
