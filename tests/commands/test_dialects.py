"""What each dialect shows and refuses, before anything travels."""

import pytest

from qemu_sim import catalog
from qemu_sim.qapi import extension
from qemu_sim.qapi import profile as profiles
from qemu_sim.testing import QMPError as Refused

DIALECTS = catalog.names("qemu_sim.migration.dialects", "")
PROFILES = ("11.1", "7.2")
# The machine waits, so that no TAP is opened.
TAP = "tap,id=net0,ifname=qemusim0,script=no,downscript=no"
NIC = ("-netdev", TAP, "-device", "virtio-net-pci,id=nic0,netdev=net0")
INNER = "/machine/peripheral/nic0/virtio-backend"


@pytest.fixture
def speak(make_machine):
    def make(dialect, *argv, machine="q35", **sim):
        settings = "".join(f",{name}={value}" for name, value in sim.items())
        name = f"{dialect}-{len(made)}"
        arguments = ("-machine", machine, "-incoming", "defer")
        made.append(name)
        return make_machine(*arguments, "-sim", f"dialect={dialect}{settings}", *argv, name=name)

    made = []
    return make


def members(machine, command, key, *steps):
    """Members of what a command takes or gives, by name."""
    schema = {each["name"]: each for each in machine.execute("query-qmp-schema")}
    found = schema[schema[command][key]]
    for step in steps:
        options = {each["case"]: each for each in found.get("variants", [])}
        options |= {each["name"]: each for each in found["members"]}
        found = schema[options[step]["type"]]
        if found["meta-type"] == "array":
            found = schema[found["element-type"]]
    return {each["name"]: each for each in found["members"]}


def test_there_are_six():
    assert DIALECTS == ["bool", "capability", "devices", "enum", "list", "local"]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_its_own_switches_are_in_the_schema(speak, dialect, profile):
    machine = speak(dialect, profile=profile)
    parameters = members(machine, "migrate-set-parameters", "arg-type")
    assert ("backend-transfer" in parameters) == (dialect in ("bool", "list", "enum"))
    assert ("local" in parameters) == (dialect == "local")
    shown = members(machine, "query-migrate-parameters", "ret-type")
    assert {"backend-transfer", "local"} & set(shown) == {"backend-transfer", "local"} & set(
        parameters
    )
    tap = members(machine, "netdev_add", "arg-type", "tap")
    assert ("local-migration-supported" in tap) == (dialect == "local")
    assert ("local-incoming" in tap) == (dialect == "capability")
    names = members(machine, "migrate-set-capabilities", "arg-type", "capabilities", "capability")
    assert ("local-tap" in names) == (dialect == "capability")
    ours = dialect == "devices"
    assert ("backend-transfer-devices" in members(machine, "migrate", "arg-type")) == ours
    assert ("backend-transfer" in members(machine, "query-migrate", "ret-type")) == ours
    commands = {each["name"] for each in machine.execute("query-commands")}
    assert ("query-backend-transfer" in commands) == ours
    assert ("query-backend-transfer-support" in commands) == (dialect == "list")


@pytest.mark.parametrize("version", PROFILES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_reference_in_the_schema_resolves(dialect, version):
    from qemu_sim.qapi.schema import references

    merged = extension.merged(profiles.load(version).schema, dialect)
    names = set(merged.by_name)
    assert {ref for each in merged.entities for ref in references(each)} <= names
    assert len(merged.by_name) == len(merged.entities)


@pytest.mark.parametrize(
    ("dialect", "kind", "expected"),
    [
        ("bool", "virtio-net-device", ("bool", True)),
        ("bool", "virtio-net-pci", ("bool", True)),
        ("bool", "vhost-user-blk-pci", None),
        ("devices", "virtio-net-pci", ("OnOffAuto", "auto")),
        ("devices", "vhost-user-blk-pci", ("OnOffAuto", "auto")),
        ("local", "virtio-net-pci", None),
        ("list", "virtio-net-pci", None),
        ("enum", "virtio-net-pci", None),
        ("capability", "virtio-net-pci", None),
    ],
)
def test_device_properties(speak, dialect, kind, expected):
    machine = speak(dialect)
    for command in ("device-list-properties", "qom-list-properties"):
        listed = {each["name"]: each for each in machine.execute(command, typename=kind)}
        found = listed.get("backend-transfer")
        assert (found and (found["type"], found["default-value"])) == expected


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("dialect", "name", "default", "value"),
    [
        ("local", "local", False, True),
        ("bool", "backend-transfer", False, True),
        ("enum", "backend-transfer", None, ["virtio-net-tap"]),
        ("list", "backend-transfer", None, [INNER]),
    ],
)
def test_a_parameter_is_set_and_shown(speak, dialect, name, default, value, *, profile):
    """An empty list is as good as none, and is not shown."""
    machine = speak(dialect, *NIC, profile=profile)
    assert machine.execute("query-migrate-parameters").get(name) == default
    machine.execute("migrate-set-parameters", {name: value})
    assert machine.execute("query-migrate-parameters")[name] == value
    machine.execute("migrate-set-parameters", {name: default or type(value)()})
    assert machine.execute("query-migrate-parameters").get(name) == default


def test_the_capability_is_set_and_shown(speak):
    machine = speak("capability")
    on = {"capability": "local-tap", "state": True}
    assert {**on, "state": False} in machine.execute("query-migrate-capabilities")
    machine.execute("migrate-set-capabilities", capabilities=[on])
    assert on in machine.execute("query-migrate-capabilities")
    other = speak("bool")
    with pytest.raises(Refused, match="does not accept value 'local-tap'"):
        other.execute("migrate-set-capabilities", capabilities=[on])


def test_an_enumeration_has_one_value(speak):
    with pytest.raises(Refused, match="Parameter 'null' does not accept value 'x'"):
        speak("enum").execute("migrate-set-parameters", {"backend-transfer": ["x"]})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nic9", "Device 'nic9' not found"),
        ("/machine/peripheral/nic9", "Device '/machine/peripheral/nic9' not found"),
        ("/objects", "/objects is not a device"),
        ("/machine/peripheral", "/machine/peripheral is not a device"),
        ("nic0", "backend-transfer is not supported for 'virtio-net-pci'"),
        ("port", "backend-transfer is not supported for 'pcie-root-port'"),
        ("bare/virtio-backend", "Device bare/virtio-backend has no attached backend"),
        (
            "hub/virtio-backend",
            "Device hub/virtio-backend backend is hubport, does not support backend transfer",
        ),
    ],
)
def test_a_list_is_checked_when_it_is_set(speak, name, text):
    machine = speak(
        "list",
        *NIC,
        *("-device", "virtio-net-pci,id=bare", "-device", "pcie-root-port,id=port"),
        *("-netdev", "hubport,id=net1,hubid=0", "-device", "virtio-net-pci,id=hub,netdev=net1"),
    )
    with pytest.raises(Refused) as caught:
        machine.execute("migrate-set-parameters", {"backend-transfer": [INNER, name]})
    assert (caught.value.class_, caught.value.desc) == ("GenericError", text)
    assert "backend-transfer" not in machine.execute("query-migrate-parameters")
    machine.execute("migrate-set-parameters", {"backend-transfer": ["nic0/virtio-backend"]})


def test_what_could_be_listed(speak):
    more = ("-netdev", TAP.replace("0", "1"), "-device", "virtio-net-pci,id=nic1,netdev=net1")
    without_id = ("-netdev", TAP.replace("0", "2"), "-device", "virtio-net-pci,netdev=net2")
    machine = speak("list", *NIC, *more, *without_id, "-device", "virtio-net-pci,id=bare")
    paths = [INNER.replace("nic0", "nic1"), INNER]
    assert machine.execute("query-backend-transfer-support") == [{"path": path} for path in paths]
    machine.execute("migrate-set-parameters", {"backend-transfer": paths})


@pytest.mark.parametrize(
    ("machine_type", "expected"), [("q35", True), ("pc-q35-11.1", True), ("pc-q35-10.1", False)]
)
def test_the_property_follows_the_machine_type(speak, machine_type, expected):
    machine = speak("bool", *NIC, machine=machine_type)
    for path in ("nic0", "nic0/virtio-backend"):
        assert machine.execute("qom-get", path=path, property="backend-transfer") == expected
    given = ("-global", f"virtio-net-pci.backend-transfer={'off' if expected else 'on'}")
    other = speak("bool", *NIC, *given, machine=machine_type)
    assert other.execute("qom-get", path="nic0", property="backend-transfer") != expected


@pytest.mark.parametrize(
    ("dialect", "name", "text"),
    [
        ("local", "local", "local migration requires a UNIX domain socket channel"),
        (
            "bool",
            "backend-transfer",
            "Migration requires a UNIX domain socket as transport, because backend-transfer is enabled",
        ),
    ],
)
def test_another_channel_is_refused_on_both_sides(speak, make_machine, dialect, name, text):
    waiting = speak(dialect)
    running = make_machine("-M", "q35", "-sim", f"dialect={dialect}", name="running")
    for machine, command in ((waiting, "migrate-incoming"), (running, "migrate")):
        machine.execute("migrate-set-parameters", {name: True})
        with pytest.raises(Refused) as caught:
            machine.execute(command, uri="tcp:127.0.0.1:0")
        assert caught.value.desc == text
    assert running.execute("query-status")["running"]
    waiting.execute("migrate-set-parameters", {name: False})
    waiting.execute("migrate-incoming", uri="tcp:127.0.0.1:0")


def test_a_dialect_is_an_extension(make_machine):
    from qemu_sim.testing.launch import StartFailed

    with pytest.raises(StartFailed, match="Parameter 'dialect' requires extensions=on"):
        make_machine("-sim", "dialect=bool,extensions=off")
    with pytest.raises(StartFailed, match="'dialect' does not accept value 'x'"):
        make_machine("-sim", "dialect=x", name="other")
