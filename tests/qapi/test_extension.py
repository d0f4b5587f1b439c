import os

import pytest

from qemu_sim import catalog
from qemu_sim.errors import QMPError
from qemu_sim.hooks import POINTS
from qemu_sim.qapi import extension
from qemu_sim.qapi.schema import references
from qemu_sim.qapi.shipped import DIRECTORY

OURS = {
    "query-events",
    "query-backend-transfer",
    "x-sim-guest-io",
    "x-sim-query-guest",
    "x-sim-migration-hold",
    "x-sim-migration-release",
    "x-sim-migration-step",
    "x-sim-inject-fault",
    "x-sim-clock-advance",
    "x-sim-set-guest",
}
KEYS = {
    "command": {"name", "meta-type", "features", "arg-type", "ret-type"},
    "event": {"name", "meta-type", "features", "arg-type"},
    "object": {"name", "meta-type", "members"},
    "enum": {"name", "meta-type", "members", "values"},
    "array": {"name", "meta-type", "element-type"},
}


@pytest.fixture
def merged(profile):
    return extension.merged(profile.schema)


def test_every_reference_resolves(merged):
    names = set(merged.by_name)
    assert {ref for each in merged.entities for ref in references(each)} <= names


def test_adds_and_takes_nothing_away(profile, merged):
    assert set(merged.names("command")) - set(profile.schema.names("command")) == OURS
    assert set(profile.schema.by_name) < set(merged.by_name)
    assert len(merged.by_name) == len(merged.entities)


def test_leaves_the_profile_alone(profile, merged):
    with pytest.raises(QMPError, match="Parameter 'backend-transfer' is unexpected"):
        profile.schema.check_arguments("migrate", {"uri": "x:", "backend-transfer": True})
    arguments = {"uri": "x:", "backend-transfer": True, "backend-transfer-devices": ["nic0"]}
    assert merged.check_arguments("migrate", arguments) == arguments
    assert "query-backend-transfer" not in profile.schema.by_name


def test_has_the_form_of_qemus_introspection(profile, merged):
    for name in set(merged.by_name) - set(profile.schema.by_name):
        entity = merged.by_name[name]
        assert set(entity) == KEYS[entity["meta-type"]]
        if entity["meta-type"] == "enum":
            assert [member["name"] for member in entity["members"]] == entity["values"]


def test_migration_points_are_those_that_exist(merged):
    assert set(merged.by_name["SimMigrationPoint"]["values"]) == set(POINTS)
    with pytest.raises(
        QMPError, match="Parameter 'at' does not accept value 'x': there are setup, "
    ):
        merged.check_arguments("x-sim-migration-hold", {"at": "x"})


def test_a_profile_extends_its_schema_once(profile):
    assert profile.extended_schema("devices") is profile.extended_schema("devices")
    assert set(profile.extended_schema("devices").names("command")) >= OURS


def test_dialects_are_those_that_exist():
    dialects = catalog.names("qemu_sim.migration.dialects", "")
    for dialect in dialects:
        assert extension.sim_options({"dialect": dialect}) == {"dialect": dialect}
    with pytest.raises(QMPError, match="'dialect' does not accept value 'x': there are bool, "):
        extension.sim_options({"dialect": "x"})
    files = {f"dialect-{dialect}.json" for dialect in dialects}
    assert files == {name for name in os.listdir(DIRECTORY) if name.startswith("dialect-")}


def test_settings_are_typed():
    given = {"phase-timeout": "2.5", "extensions": "off", "hold": ["stopped", "started"]}
    given |= {"fault": "lose-fd", "profile": "7.2"}
    assert extension.sim_options(given) == {
        "profile": "7.2",
        "extensions": False,
        "phase-timeout": 2.5,
        "hold": ["stopped", "started"],
        "fault": ["lose-fd"],
    }
    assert extension.sim_options({}) == {}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"foo": "1"}, "Invalid parameter 'foo'"),
        ({"peer-check": "maybe"}, "Parameter 'peer-check' expects 'on' or 'off'"),
        ({"phase-timeout": "x"}, "Invalid parameter type for 'phase-timeout', expected: number"),
    ],
)
def test_bad_settings_are_refused_by_name(given, text):
    with pytest.raises(QMPError) as caught:
        extension.sim_options(given)
    assert str(caught.value) == text


def test_a_point_that_is_none_is_answered_with_those_that_are():
    with pytest.raises(QMPError) as caught:
        extension.sim_options({"hold": ["x"]})
    said, listed = str(caught.value).split(": there are ")
    assert said == "Parameter 'hold' does not accept value 'x'"
    assert set(listed.split(", ")) == set(POINTS)
