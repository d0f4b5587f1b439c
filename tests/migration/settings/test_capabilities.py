"""Capabilities: what may be on together, and what a migration would have to refuse."""

import random

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.migration.capabilities import Capabilities
from qemu_sim.migration.parameters import Parameters


def on(*names):
    return [{"capability": name, "state": True} for name in names]


def off(*names):
    return [{"capability": name, "state": False} for name in names]


def refusal(capabilities, *given, **more):
    with pytest.raises(QMPError) as caught:
        capabilities.set(on(*given), **more)
    return str(caught.value)


@pytest.fixture(params=["7.2", "11.1"])
def recorded(request, recorded_settings):
    return recorded_settings(request.param)


@pytest.fixture
def capabilities(recorded):
    return Capabilities(recorded.profile)


@pytest.fixture
def newest(recorded_settings):
    return Capabilities(recorded_settings("11.1").profile)


def test_starts_as_the_recorded_qemu_does(recorded, capabilities):
    assert capabilities.query() == recorded.profile.section("query-migrate-capabilities")
    assert capabilities.names() == frozenset()


def test_every_recorded_request_is_answered_alike(recorded, replay):
    capabilities, parameters = replay(recorded)
    assert capabilities.query() == recorded.finally_["query-migrate-capabilities"]
    assert parameters.query() == recorded.finally_["query-migrate-parameters"]


def test_switches_on_and_off(capabilities):
    capabilities.set(on("events", "xbzrle"))
    assert capabilities.enabled("events")
    assert {"capability": "xbzrle", "state": True} in capabilities.query()
    capabilities.set(off("events"))
    assert capabilities.names() == {"xbzrle"}


def test_the_last_word_on_a_name_counts(capabilities):
    capabilities.set(on("events") + off("events"))
    assert not capabilities.enabled("events")


def test_one_refused_capability_spoils_all(capabilities):
    assert refusal(capabilities, "events", "postcopy-preempt")
    assert capabilities.names() == frozenset()


def test_one_that_this_qemu_lacks_is_off(capabilities):
    assert not capabilities.enabled("no-such-thing")


def test_a_needed_one_cannot_be_switched_off_later(newest):
    newest.set(on("return-path", "switchover-ack"))
    with pytest.raises(QMPError, match="Capability 'switchover-ack' requires"):
        newest.set(off("return-path"))
    assert newest.enabled("return-path")


def test_zero_copy_wants_neither_tls_nor_compression(recorded):
    capabilities, parameters = Capabilities(recorded.profile), Parameters(recorded.profile)
    parameters.set({"tls-creds": "tls0"})
    text = "Zero copy only available for non-compressed non-TLS multifd migration"
    assert refusal(capabilities, "multifd", "zero-copy-send", parameters=parameters) == text
    parameters.set({"tls-creds": None})
    capabilities.set(on("multifd", "zero-copy-send"), parameters)


class TestOnceIncomingStarted:
    def test_multifd_comes_too_late(self, newest):
        text = refusal(newest, "multifd", incoming_started=True)
        assert text == "Multifd must be set before incoming starts"

    def test_postcopy_preempt_comes_too_late(self, newest):
        text = refusal(newest, "postcopy-ram", "postcopy-preempt", incoming_started=True)
        assert text == "Postcopy preempt must be set before incoming starts"

    def test_what_was_on_before_may_stay(self, newest):
        newest.set(on("multifd"))
        newest.set(on("events"), incoming_started=True)
        assert newest.names() == {"events", "multifd"}

    def test_qemu_7_2_does_not_mind(self, recorded_settings):
        Capabilities(recorded_settings("7.2").profile).set(on("multifd"), incoming_started=True)


class TestNotSimulated:
    def test_nothing_at_first(self, capabilities):
        assert capabilities.not_simulated() == []

    def test_those_without_effect_are_fine(self, capabilities):
        capabilities.set(on("events", "xbzrle", "auto-converge", "return-path", "release-ram"))
        assert capabilities.not_simulated() == []

    def test_those_that_would_change_a_migration_are_named(self, capabilities):
        capabilities.set(on("events", "background-snapshot"))
        assert capabilities.not_simulated() == ["background-snapshot"]

    def test_every_capability_is_either_simulated_or_named(self, recorded_settings):
        """A QEMU that brings a new capability must not have it ignored."""
        profile = recorded_settings("11.1").profile
        listed = [*profile.section("query-migrate-capabilities")]
        profile.sections["query-migrate-capabilities"] = [
            *listed,
            {"capability": "from-the-future", "state": False},
        ]
        capabilities = Capabilities(profile)
        capabilities.set(on("from-the-future"))
        assert capabilities.not_simulated() == ["from-the-future"]


def test_a_live_qemu_agrees_on_random_requests(live_qemu):
    """Switch at random on both sides: same answers, same state in the end."""
    capabilities = Capabilities(live_qemu.profile)
    names = [each["capability"] for each in capabilities.query()]
    dice = random.Random(20)
    refused = 0
    for _ in range(300):
        density = dice.choice([0.05, 0.15, 0.3])
        request = [
            {"capability": name, "state": dice.random() < density}
            for name in dice.sample(names, dice.choice([3, len(names)]))
        ]
        theirs = live_qemu.answer("migrate-set-capabilities", {"capabilities": request})
        ours = live_qemu.ours(capabilities.set, request)
        assert ours == theirs, request
        refused += theirs is not None
    assert capabilities.query() == live_qemu.execute("query-migrate-capabilities")
    assert 30 < refused < 270, "the requests no longer tell anything"
