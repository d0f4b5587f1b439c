"""qom-list, qom-get and what is known of types, beside a real QEMU where there is one."""

import shutil
from types import SimpleNamespace

import pytest

from qemu_sim.commands import registry
from qemu_sim.errors import DeviceNotFound, QMPError
from qemu_sim.machine.board import Board
from qemu_sim.machine.buses import Buses
from qemu_sim.machine.cpus import CPUs
from qemu_sim.machine.options import CpuModel, MachineOptions
from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.emulator import Emulator

QEMU = "qemu-system-x86_64"
MIB = 1 << 20
CPU = "/machine/unattached/device[0]"
SYSBUS = "/machine/unattached/sysbus"


class Client:
    """Runs commands on a machine that has no monitor."""

    def __init__(self, profile, cpu=None):
        machine_type = f"pc-q35-{profile}"
        options = MachineOptions(
            machine_type=machine_type, memory_size=64 * MIB, cpu=cpu, extensions=False
        )
        self.board = Board(options, Buses(machine_type), lambda _kind, given, _typed: given)
        self._machine = SimpleNamespace(
            profile=profiles.load(profile),
            machine_type=machine_type,
            options=options,
            cpus=CPUs(options, ()),
            execution=SimpleNamespace(found=None),
            board=self.board,
        )

    def execute(self, name, **arguments):
        return registry.find(name).call(self._machine, None, arguments)


async def fill(client):
    board = client.board
    board.add_object("memory-backend-memfd", "mem0", {"size": 64 * MIB, "share": True})
    await board.add_device("pcie-root-port", "rp1", {"chassis": 1}, hotplug=False)
    given = {"mac": "52:54:00:12:34:99", "bus": "rp1"}
    await board.add_device("virtio-net-pci", "nic0", given, hotplug=False)


# What `fill` does, as QEMU's command line.
ARGV = (
    *("-machine", "q35,accel=tcg", "-m", "64", "-nodefaults", "-display", "none", "-S"),
    *("-object", "memory-backend-memfd,id=mem0,size=64M,share=on"),
    *("-device", "pcie-root-port,id=rp1,chassis=1"),
    *("-device", "virtio-net-pci,id=nic0,mac=52:54:00:12:34:99,bus=rp1"),
)


@pytest.fixture(params=["7.2", "11.1"])
async def client(request):
    made = Client(request.param)
    await fill(made)
    yield made
    made.board.close()


def answer(execute, name, **arguments):
    """The result, or the error's class and text."""
    try:
        return execute(name, **arguments)
    except QMPError as error:
        return error.class_, str(error)


class TestPathCommands:
    def test_qom_list(self, client):
        assert client.execute("qom-list", path="/machine/peripheral") == [
            {"name": "type", "type": "string"},
            {"name": "rp1", "type": "child<pcie-root-port>"},
            {"name": "nic0", "type": "child<virtio-net-pci>"},
        ]

    def test_qom_get(self, client):
        assert client.execute("qom-get", path="nic0", property="mac") == "52:54:00:12:34:99"

    def test_only_qom_list_says_ambiguous(self, client):
        ambiguous = answer(client.execute, "qom-list", path="rp1")
        assert ambiguous == ("GenericError", "Path 'rp1' is ambiguous")
        not_found = answer(client.execute, "qom-get", path="rp1", property="type")
        assert not_found == ("DeviceNotFound", "Device 'rp1' not found")

    def test_qom_set_changes_nothing(self, client):
        with pytest.raises(QMPError, match="after it was realized"):
            client.execute("qom-set", path="nic0", property="rombar", value=0)


class TestCpus:
    def test_qom_list_get_tells_the_properties_with_values(self, client):
        (found,) = client.execute("qom-list-get", paths=[CPU])
        values = {each["name"]: each.get("value") for each in found["properties"]}
        assert values["realized"] is True
        assert values["sse2"] is True
        kinds = {each["name"]: each["type"] for each in found["properties"]}
        assert kinds["feature-words"] == "X86CPUFeatureWordInfo"

    def test_qom_list_get_resolves_every_path(self, client):
        paths = [CPU, "/nope"]
        refused = answer(client.execute, "qom-list-get", paths=paths)
        assert refused == ("DeviceNotFound", "Device '/nope' not found")
        refused = answer(client.execute, "qom-list-get", paths=["rp1"])
        assert refused == ("GenericError", "Path 'rp1' is ambiguous")

    def test_a_model_has_what_was_given_and_lacks_what_the_accelerator_lacks(self):
        model = CpuModel("EPYC-x86_64-cpu", {"sse4.2": False, "x2apic": True})
        made = Client("11.1", cpu=model)
        values = {
            each["name"]: each.get("value")
            for each in made.execute("qom-list-get", paths=[CPU])[0]["properties"]
        }
        assert (values["sse4.2"], values["sse4-2"], values["x2apic"]) == (False, False, True)
        assert (values["misalignsse"], values["nrip-save"], values["nrip_save"]) == (False,) * 3
        assert "misalignsse" in values["unavailable-features"]
        assert values["avx2"] is True

    def test_of_a_model_that_was_not_recorded_little_is_known(self):
        made = Client("11.1", cpu=CpuModel("Denverton-v1-x86_64-cpu", {}))
        assert made.execute("qom-get", path=CPU, property="realized") is True
        with pytest.raises(QMPError, match=r"'Denverton-v1-x86_64-cpu\.sse2' is not simulated"):
            made.execute("qom-get", path=CPU, property="sse2")


class TestTypes:
    def test_descendants(self, client):
        listed = client.execute("qom-list-types", implements="chardev")
        names = {each["name"] for each in listed}
        assert {"chardev-null", "chardev-socket"} <= names
        assert "chardev" not in names  # abstract
        everything = client.execute("qom-list-types", implements="chardev", abstract=True)
        assert {"abstract": True, "name": "chardev", "parent": "object"} in everything

    def test_nothing_descends_from_an_unknown_type(self, client):
        assert client.execute("qom-list-types", implements="nope") == []

    def test_implementers_of_an_interface(self, client):
        listed = client.execute("qom-list-types", implements="user-creatable", abstract=True)
        names = {each["name"] for each in listed}
        assert {"iothread", "memory-backend-ram", "user-creatable"} <= names
        assert "virtio-net-pci" not in names

    @pytest.mark.parametrize("command", ["qom-list-properties", "device-list-properties"])
    def test_properties_of_a_type(self, client, command):
        listed = client.execute(command, typename="virtio-net-pci")
        assert "mac" in {each["name"] for each in listed}

    def test_each_command_names_an_unknown_type_its_own_way(self, client):
        with pytest.raises(DeviceNotFound, match=r"^Class 'nope' not found$"):
            client.execute("qom-list-properties", typename="nope")
        with pytest.raises(DeviceNotFound, match=r"^Device 'nope' not found$"):
            client.execute("device-list-properties", typename="nope")

    @pytest.mark.parametrize("typename", ["pci-device", "memory-backend-ram"])
    def test_what_is_no_device(self, client, typename):
        with pytest.raises(QMPError, match=r"expects a non-abstract device type$"):
            client.execute("device-list-properties", typename=typename)

    def test_an_abstract_type_has_properties_but_is_no_device_to_add(self, client):
        listed = client.execute("qom-list-properties", typename="generic-pc-machine")
        assert "hpet" in {each["name"] for each in listed}
        with pytest.raises(QMPError, match="expects a non-abstract device type"):
            client.execute("device-list-properties", typename="pci-device")

    def test_a_type_that_qemu_dies_of_was_not_recorded(self):
        with pytest.raises(QMPError, match="of type 'x-remote-object' are not recorded"):
            Client("7.2").execute("qom-list-properties", typename="x-remote-object")


@pytest.fixture(scope="module")
def real():
    program = shutil.which(QEMU)
    if program is None:
        pytest.skip(f"there is no {QEMU} to compare with")
    with Emulator([program, *ARGV]) as emulator:
        yield emulator


@pytest.fixture
async def twin(real):
    """Our machine with the real one's profile and parts."""
    version = real.execute("query-version")["qemu"]
    name = f"{version['major']}.{version['minor']}"
    if name not in ("7.2", "11.1"):
        pytest.skip(f"there is no profile of QEMU {name}")
    made = Client(name)
    await fill(made)
    yield made
    made.board.close()


PATHS = (
    *("/", "//", "", "nic0", "rp1", "peripheral/nic0", "/nope", "machine", "/objects"),
    *("/machine/peripheral/nic0/virtio-backend", "virtio-backend", "rp1/rp1", "mem0"),
)


class TestBesideARealQemu:
    @pytest.mark.parametrize("path", PATHS)
    def test_qom_list_shows_nothing_that_is_not_there(self, real, twin, path):
        theirs = answer(real.execute, "qom-list", path=path)
        ours = answer(twin.execute, "qom-list", path=path)
        if isinstance(theirs, tuple):
            assert ours[1] == theirs[1]
        else:
            flash = ("pflash0", "pflash1")  # a machine drops these while it is made
            assert [each for each in ours if each not in theirs and each["name"] not in flash] == []

    @pytest.mark.parametrize(
        "path", ["nic0", "nic0/virtio-backend", "mem0", "/machine", CPU, SYSBUS]
    )
    def test_qom_get_tells_the_same_or_says_that_it_does_not_know(self, real, twin, path):
        told = 0
        for each in twin.execute("qom-list", path=path):
            if each["name"] in ("pflash0", "pflash1"):
                continue
            ours = answer(twin.execute, "qom-get", path=path, property=each["name"])
            if "is not simulated by qemu-sim" not in str(ours):
                theirs = answer(real.execute, "qom-get", path=path, property=each["name"])
                assert ours == theirs, each
                told += 1
        assert told > 2

    @pytest.mark.parametrize("name", ["type", "mac", "rombar", "hotplugged", "nope", "parent_bus"])
    def test_qom_set_is_refused_alike(self, real, twin, name):
        request = {"path": "nic0", "property": name, "value": 1}
        assert answer(twin.execute, "qom-set", **request) == answer(
            real.execute, "qom-set", **request
        )

    @pytest.mark.parametrize(
        "implements",
        ["device", "chardev", "virtio-net-pci", "nope", "machine", "interface", "user-creatable"],
    )
    @pytest.mark.parametrize("abstract", [True, False])
    def test_types(self, real, twin, implements, abstract):
        request = {"implements": implements, "abstract": abstract}
        ours = twin.execute("qom-list-types", **request)
        assert ours == real.execute("qom-list-types", **request)

    @pytest.mark.parametrize("typename", ["generic-pc-machine", "pci-device", "user-creatable"])
    def test_properties_of_abstract_types(self, real, twin, typename):
        ours = answer(twin.execute, "qom-list-properties", typename=typename)
        assert ours == answer(real.execute, "qom-list-properties", typename=typename)
