"""Every command of the profile answers, and `qemu-sim commands` tells how."""

from collections import Counter

import pytest

from qemu_sim import catalog
from qemu_sim.commands import listing, registry
from qemu_sim.errors import QMPError
from qemu_sim.qapi import profile as profiles
from qemu_sim.testing.client import QMPError as Refused

PROFILES = ("7.2", "11.1")
SAMPLES = {"string": "x", "int": 1, "number": 1, "boolean": False, "null": None, "value": 0}
# Checked in another way than by the schema.
OPEN_ENDED = {"device_add"}


@pytest.fixture(params=PROFILES)
def profile(request):
    return profiles.load(request.param)


def sample(entities, name, above=()):
    """A value that the schema accepts, the smallest there is."""
    entity = entities[name]
    match entity["meta-type"]:
        case "builtin":
            return SAMPLES[entity["json-type"]]
        case "enum":
            return entity["values"][0]
        case "array":
            return []
        case "alternate":
            kinds = [member["type"] for member in entity["members"]]
            return sample(entities, next(kind for kind in kinds if kind not in above), above)
    above = (*above, name)
    members = [member for member in entity["members"] if "default" not in member]
    found = {member["name"]: sample(entities, member["type"], above) for member in members}
    if "tag" in entity:
        for case in entity["variants"]:
            if case["type"] not in above:
                inner = sample(entities, case["type"], above)
                return found | {entity["tag"]: case["case"]} | inner
    return found


def test_every_command_has_its_kind(profile):
    kinds = listing.kinds(profile)
    assert set(kinds) == set(profile.extended_schema("devices").names("command"))
    assert set(kinds.values()) == {listing.BEHAVES, listing.RECORDED, listing.MISSING}


def test_none_is_implemented_that_no_profile_has():
    dialects = catalog.names("qemu_sim.migration.dialects", "")
    known = {
        name
        for profile in map(profiles.load, PROFILES)
        for dialect in dialects
        for name in listing.kinds(profile, dialect)
    }
    assert set(registry.names()) <= known


@pytest.mark.parametrize("number", PROFILES)
def test_what_is_not_simulated_says_so(make_machine, number):
    profile = profiles.load(number)
    schema = profile.extended_schema("devices")
    machine = make_machine("-machine", "none", "-sim", f"profile={number}")
    missing = [name for name, kind in listing.kinds(profile).items() if kind == listing.MISSING]
    assert missing
    for name in missing:
        arguments = sample(schema.by_name, schema.command(name).argument_type)
        # What is refused looks at its arguments before; tests/data/talks-*.jsonl has its words.
        words = None if registry.find(name) else f"not simulated by qemu-sim: {name}$"
        with pytest.raises(Refused, match=words):
            machine.execute(name, arguments)
        if name not in OPEN_ENDED:
            with pytest.raises(Refused, match="is unexpected"):
                machine.execute(name, {**arguments, "no-such-argument": 1})


@pytest.mark.parametrize("number", PROFILES)
def test_what_is_recorded_is_answered(make_machine, number):
    """By a machine of each family, in the words of the record."""
    profile = profiles.load(number)
    for family, answers in profile.idle_answers.items():
        machine = make_machine("-machine", family, "-S", "-sim", f"profile={number}", name=family)
        for name, answer in answers.items():
            if "return" in answer:
                assert machine.execute(name) == answer["return"]
            else:
                with pytest.raises(Refused) as caught:
                    machine.execute(name)
                assert [caught.value.class_, caught.value.desc] == answer["error"]


def test_the_interface_is_qemus_and_ours(make_machine):
    machine = make_machine("-machine", "none")
    profile = profiles.load()
    count = len(profile.section("query-commands"))
    listed = machine.execute("query-commands")
    assert listed[:count] == profile.section("query-commands")
    assert {each["name"] for each in listed} == set(listing.kinds(profile))
    pure = make_machine("-machine", "none", "-sim", "extensions=off", name="pure")
    assert pure.execute("query-commands") == profile.section("query-commands")
    assert pure.execute("query-qmp-schema") == profile.section("query-qmp-schema")
    with pytest.raises(Refused, match="The command x-sim-query-guest has not been found"):
        pure.execute("x-sim-query-guest")
    with pytest.raises(Refused, match="Parameter 'backend-transfer' is unexpected"):
        pure.execute("migrate", {"uri": "unix:/x", "backend-transfer": True})


def test_it_is_printed_with_the_counts(capsys):
    assert listing.main(["7.2"]) == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    kinds = listing.kinds(profiles.load("7.2"))
    assert [line.split(maxsplit=1) for line in lines] == [[*each] for each in kinds.items()]
    counts = Counter(kinds.values())
    assert summary == (
        f"{len(kinds)} commands: {counts[listing.BEHAVES]} behave, "
        f"{counts[listing.RECORDED]} answer from the profile, "
        f"{counts[listing.MISSING]} are not simulated"
    )


def test_an_unknown_profile_is_refused(capsys):
    assert listing.main(["1.0"]) == 1
    assert "Could not load profile" in capsys.readouterr().err
    for arguments in (["7.2", "11.1"], ["--help"]):
        assert listing.main(arguments) == 2
        assert capsys.readouterr().err == "usage: qemu-sim commands [--hmp] [PROFILE]\n"


def test_a_family_without_record_says_so():
    from types import SimpleNamespace

    machine = SimpleNamespace(machine_type="isapc", profile=profiles.load())
    with pytest.raises(QMPError, match="not simulated by qemu-sim: query-sgx of isapc"):
        registry.find("query-sgx").call(machine, None, {})
