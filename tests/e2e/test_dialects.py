"""Upstream's dialects between two processes: nobody agrees with anybody, and nobody commits."""

import pytest

from qemu_sim.testing import netns as namespaces
from qemu_sim.testing.ping import Ping

INNER = "/machine/peripheral/nic{}/virtio-backend"
PARAMETER = {
    "local": {"local": True},
    "bool": {"backend-transfer": True},
    "enum": {"backend-transfer": ["virtio-net-tap"]},
    "list": {"backend-transfer": [INNER.format(0), INNER.format(1)]},
}
RETURN_PATH = {"capability": "return-path", "state": True}
DIALECTS = pytest.mark.parametrize("dialect", sorted(PARAMETER))
NICS = (0, 1)


class Pair:
    """A source with two NICs, on tap0 and tap1, and a destination that waits for them."""

    def __init__(self, make_machine, tmp_path, wait, dialect, *, queues=1, profile="11.1") -> None:
        self.wait = wait
        self.profile = profile
        common = ("-M", "pc", "-m", "16", "-sim", f"dialect={dialect},profile={profile}")
        self.uri = f"unix:{tmp_path}/mig"
        self.destination = make_machine(*common, "-incoming", "defer", name="destination")
        argv = []
        for number in NICS:
            many = f",queues={queues}" if queues > 1 else ""
            tap = f"tap,id=net{number},ifname=tap{number},script=no,downscript=no{many}"
            nic = f"virtio-net-pci,id=nic{number},netdev=net{number},mq=on"
            argv += ["-netdev", tap, "-device", nic]
        self.source = make_machine(*common, *argv, name="source")
        self.source.execute("migrate-set-parameters", PARAMETER[dialect])
        self.source.execute("migrate-set-capabilities", capabilities=[RETURN_PATH])
        self._prepare(dialect, queues)
        for number in NICS:
            namespaces.up(f"tap{number}", f"10.0.{number}.1/24")

    def _prepare(self, dialect, queues):
        machine = self.destination
        if dialect == "local":
            machine.execute("migrate-set-parameters", PARAMETER[dialect])
        for number in NICS:
            tap = {"type": "tap", "id": f"net{number}", "ifname": f"tap{number}", "queues": queues}
            machine.execute("netdev_add", {**tap, "script": "no", "downscript": "no"})
            nic = {"driver": "virtio-net-pci", "id": f"nic{number}", "netdev": f"net{number}"}
            machine.execute("device_add", {**nic, "mq": True})
        if dialect != "local":
            machine.execute("migrate-set-parameters", PARAMETER[dialect])

    def migrate(self):
        """Migrate and return how it ended on both sides."""
        survive = {} if self.profile == "7.2" else {"exit-on-error": False}
        self.destination.execute("migrate-incoming", {"uri": self.uri, **survive})
        self.source.execute("migrate", uri=self.uri)
        both = (self.source, self.destination)
        self.wait(lambda: all(_status(each) in ("completed", "failed") for each in both), "the end")
        return tuple(map(_status, both))

    def is_served(self, *numbers):
        """Assert that just one guest answers at these TAPs, of all if none is given."""
        for number in numbers or NICS:
            counts = _pinged(number, linger=10)
            assert (counts["received"], counts["duplicates"]) == (3, 0)

    def is_silent(self, *numbers):
        """Assert that nobody answers at these TAPs, of all if none is given."""
        for number in numbers or NICS:
            assert _pinged(number, linger=0.1)["received"] == 0

    def printed(self):
        return self.destination.unwrapped.launch.printed()


def _pinged(number, linger):
    ping = Ping(f"10.0.{number}.2")
    ping.run(3, 0.002, linger)
    return ping.report()


def _status(machine):
    return machine.execute("query-migrate").get("status")


@pytest.fixture
def make_pair(netns, make_machine, tmp_path, wait):
    return lambda dialect, **more: Pair(make_machine, tmp_path, wait, dialect, **more)


@DIALECTS
@pytest.mark.parametrize("profile", ["11.1", "7.2"])
def test_the_source_keeps_its_copies_until_it_ends(make_pair, dialect, profile):
    pair = make_pair(dialect, profile=profile)
    assert pair.migrate() == ("completed", "completed")
    assert pair.source.execute("query-status")["status"] == "postmigrate"
    pair.is_served()
    assert "backend-transfer" not in pair.source.execute("query-migrate")
    pair.source.kill()
    pair.is_served()


@DIALECTS
def test_a_manager_takes_the_source_back_when_the_destination_is_gone(make_pair, dialect):
    pair = make_pair(dialect)
    pair.migrate()
    pair.destination.kill()
    pair.is_silent()
    pair.source.execute("cont")
    pair.is_served()


def test_nothing_but_the_manager_prevents_two_owners(make_pair):
    """As in QEMU. Each queue is read by both, so which of them answers is chance."""
    pair = make_pair("bool")
    pair.migrate()
    pair.source.execute("cont")
    for machine in (pair.source, pair.destination):
        assert machine.execute("query-status")["running"]
    for number in NICS:
        assert _pinged(number, linger=10)["received"] == 3


@DIALECTS
def test_there_and_back_again(make_pair, make_machine, dialect):
    """A third process, because the second waited for the first."""
    pair = make_pair(dialect)
    pair.migrate()
    pair.source.close()
    second = pair.destination
    second.execute("migrate-set-parameters", PARAMETER[dialect])
    third = make_machine(
        *("-M", "pc", "-m", "16", "-incoming", "defer", "-sim", f"dialect={dialect}"), name="third"
    )
    pair.source, pair.destination = second, third
    pair._prepare(dialect, 1)
    assert pair.migrate() == ("completed", "completed")
    pair.is_served()


@pytest.mark.parametrize("dialect", ["bool", "local"])
def test_queues_travel_one_by_one(make_pair, dialect):
    pair = make_pair(dialect, queues=4)
    assert pair.migrate() == ("completed", "completed")
    pair.is_served()


# What goes wrong in a stream that nobody checks.


@pytest.mark.parametrize("dialect", ["bool", "local"])
@pytest.mark.parametrize(
    ("fault", "status", "complaint"),
    [
        ("lose-fd", "failed", ""),
        # The next queue takes it for its own, so another one is left over.
        ("extra-fd", "completed", "qemu_fclose: received fd"),
    ],
)
def test_a_wrong_number_of_descriptors(make_pair, dialect, fault, status, complaint):
    pair = make_pair(dialect)
    pair.source.inject(fault)
    assert pair.migrate() == (status, status)
    printed = pair.printed()
    assert complaint in printed
    assert ("was never claimed" in printed) == bool(complaint)
    pair.is_served()


@pytest.mark.parametrize("dialect", ["bool", "local"])
def test_descriptors_of_the_wrong_device_are_taken(make_pair, dialect):
    """Nobody looks which interface they belong to: each guest NIC is on the other's TAP."""
    pair = make_pair(dialect)
    pair.source.inject("swap-devices")
    assert pair.migrate() == ("completed", "completed")
    before = pair.destination.query_guest()
    assert _pinged(0, linger=10)["received"] == 3
    after = pair.destination.query_guest()
    assert after["nic0"].frames_out == before["nic0"].frames_out
    assert after["nic1"].frames_out >= before["nic1"].frames_out + 3


@pytest.mark.parametrize("dialect", ["bool", "local"])
def test_what_is_no_tap_is_taken(make_pair, dialect):
    pair = make_pair(dialect)
    pair.source.inject("wrong-fd")
    assert pair.migrate() == ("completed", "completed")
    pair.is_silent(0)
    pair.is_served(1)


@pytest.mark.parametrize("point", ["accepted", "device-loaded"])
def test_a_destination_that_dies_leaves_the_source_alive(make_pair, point):
    pair = make_pair("bool")
    pair.destination.inject("die", at=point)
    listening = {"uri": pair.uri, "exit-on-error": False}
    pair.destination.execute("migrate-incoming", listening)
    pair.source.execute("migrate", uri=pair.uri)
    pair.wait(lambda: _status(pair.source) in ("completed", "failed"), "the end")
    if not pair.source.execute("query-status")["running"]:
        pair.source.execute("cont")  # it had written everything, and cannot know
    pair.is_served()


@pytest.mark.parametrize("asks", [True, False])
def test_postcopys_package_carries_no_descriptors(make_pair, asks):
    """Whichever end expects them there: the guest has not started, so the source goes on."""
    pair = make_pair("bool")
    on = [{"capability": "postcopy-ram", "state": True}]
    for machine in (pair.source, pair.destination):
        machine.execute("migrate-set-capabilities", capabilities=on)
    pair.source.execute("migrate-set-parameters", {"backend-transfer": asks})
    pair.source.hold("active")
    pair.destination.execute("migrate-incoming", {"uri": pair.uri, "exit-on-error": False})
    pair.source.execute("migrate", uri=pair.uri)
    pair.source.wait_held("active")
    pair.source.execute("migrate-start-postcopy")
    pair.source.release()
    pair.wait(lambda: _status(pair.destination) == "failed", "the end")
    side, text = pair.source, "Channel does not support file descriptor passing: Invalid argument"
    if not asks:
        text = "migration-loadvm-buffer does not support fd passing"
        side, text = pair.destination, f"load of migration failed: Invalid argument: {text}"
    assert side.execute("query-migrate")["error-desc"] == text
    pair.is_served()


def test_nobody_claims_what_only_the_source_sends(make_pair):
    """The destination has other TAPs of its own: it would find these two busy."""
    pair = make_pair("bool")
    pair.destination.execute("migrate-set-parameters", {"backend-transfer": False})
    for number in NICS:
        pair.destination.execute("device_del", id=f"nic{number}")
        pair.destination.execute("system_reset")  # no guest is there that would give it back
        pair.destination.wait_event("DEVICE_DELETED", device=f"nic{number}")
        pair.destination.execute("netdev_del", id=f"net{number}")
        tap = {"type": "tap", "id": f"net{number}", "ifname": f"own{number}"}
        pair.destination.execute("netdev_add", {**tap, "script": "no", "downscript": "no"})
        nic = {"driver": "virtio-net-pci", "id": f"nic{number}", "netdev": f"net{number}"}
        pair.destination.execute("device_add", {**nic, "mq": True})
    assert pair.migrate() == ("failed", "failed")
    assert "was never claimed" in pair.printed()
    pair.is_served()
