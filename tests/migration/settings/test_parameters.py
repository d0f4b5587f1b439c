"""Parameters: ranges, dependencies, and all or nothing."""

import random

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.migration.parameters import Parameters


@pytest.fixture
def old(recorded_settings):
    return Parameters(recorded_settings("7.2").profile)


@pytest.fixture
def new(recorded_settings):
    return Parameters(recorded_settings("11.1").profile)


@pytest.fixture(params=["7.2", "11.1"])
def parameters(request, recorded_settings):
    return Parameters(recorded_settings(request.param).profile)


def refusal(parameters, arguments, capabilities=()):
    with pytest.raises(QMPError) as caught:
        parameters.set(arguments, capabilities)
    return str(caught.value)


@pytest.mark.parametrize("version", ["7.2", "11.1"])
def test_starts_as_the_recorded_qemu_does(version, recorded_settings):
    profile = recorded_settings(version).profile
    assert Parameters(profile).query() == profile.section("query-migrate-parameters")


def test_set_and_get(parameters):
    parameters.set({"downtime-limit": 5, "cpu-throttle-tailslow": True})
    assert parameters["downtime-limit"] == 5
    assert parameters.query()["cpu-throttle-tailslow"] is True


def test_the_answer_is_a_copy(parameters):
    parameters.query()["downtime-limit"] = 7
    assert parameters["downtime-limit"] == 300


def test_one_bad_value_spoils_all(parameters):
    assert refusal(parameters, {"downtime-limit": 5, "announce-step": 0})
    assert parameters["downtime-limit"] == 300


def test_each_version_has_its_words(old, new):
    request = {"multifd-channels": 0}
    assert refusal(new, request) == "Option multifd-channels expects a value between 1 and 255"
    assert refusal(old, request) == "Parameter 'multifd_channels' expects a value between 1 and 255"


def test_the_ceiling_of_throttling_stays_above_its_start(old, new):
    request = {"max-cpu-throttle": 19}
    text = "Option max-cpu-throttle expects an integer in the range of cpu-throttle-initial to 99"
    assert refusal(new, request) == text
    assert refusal(old, request).endswith("of cpu_throttle_initial to 99")
    new.set({"cpu-throttle-initial": 10, "max-cpu-throttle": 19})
    # The one that is not mentioned counts with the value it has.
    assert refusal(new, {"cpu-throttle-initial": 20}) == text


def test_null_empties_tls(parameters):
    parameters.set({"tls-creds": "tls0"})
    assert parameters["tls-creds"] == "tls0"
    parameters.set({"tls-creds": None})
    assert parameters["tls-creds"] == ""


def test_qemu_7_2_forgets_compression_levels(old, new):
    old.set({"multifd-zlib-level": 200, "multifd-zstd-level": 5})
    assert (old["multifd-zlib-level"], old["multifd-zstd-level"]) == (1, 1)
    new.set({"multifd-zlib-level": 9})
    assert new["multifd-zlib-level"] == 9


def test_the_bitmap_mapping_shows_once_it_is_set(parameters):
    assert "block-bitmap-mapping" not in parameters.query()
    mapping = [{"node-name": "n", "alias": "a", "bitmaps": []}]
    parameters.set({"block-bitmap-mapping": mapping})
    assert parameters["block-bitmap-mapping"] == mapping


class TestBesideCapabilities:
    def test_zero_copy_excludes_tls(self, parameters):
        text = refusal(parameters, {"tls-creds": "tls0"}, {"zero-copy-send"})
        assert text == "Zero copy only available for non-compressed non-TLS multifd migration"
        assert parameters["tls-creds"] == ""

    def test_ranges_come_before_it(self, new):
        text = refusal(new, {"tls-creds": "x", "announce-step": 0}, {"zero-copy-send"})
        assert text.startswith("Option announce-step")

    def test_mapped_ram_looks_at_what_is_set_already(self, new):
        new.set({"tls-creds": "tls0"}, {"mapped-ram"})
        text = "Mapped-ram only available for non-compressed non-TLS multifd migration"
        assert refusal(new, {"tls-creds": ""}, {"mapped-ram"}) == text


class TestNotSimulated:
    def test_nothing_at_first(self, parameters):
        assert parameters.not_simulated() == []

    def test_numbers_are_fine(self, parameters):
        parameters.set({"downtime-limit": 5, "max-bandwidth": 1 << 30, "multifd-channels": 9})
        assert parameters.not_simulated() == []

    def test_tls(self, parameters):
        parameters.set({"tls-creds": "tls0"})
        assert parameters.not_simulated() == ["tls-creds=tls0"]


def test_a_live_qemu_agrees_on_random_requests(live_qemu):
    """Set numbers at random on both sides: same answers, same state in the end."""
    parameters = Parameters(live_qemu.profile)
    known = live_qemu.profile.section("query-migrate-parameters")
    # Below 256, so that no request ends at the type of a byte; switches are left alone.
    numbers = [name for name, value in known.items() if type(value) is int]
    dice = random.Random(20)
    refused = 0
    for _ in range(400):
        chosen = dice.sample(numbers, dice.choice([1, 1, 2, 5]))
        request = {name: dice.choice([0, 1, 5, 20, 21, 50, 99, 100, 101, 255]) for name in chosen}
        theirs = live_qemu.answer("migrate-set-parameters", request)
        ours = live_qemu.ours(parameters.set, request)
        assert ours == theirs, request
        refused += theirs is not None
    assert parameters.query() == live_qemu.execute("query-migrate-parameters")
    assert 40 < refused < 360, "the requests no longer tell anything"
