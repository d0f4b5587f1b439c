"""Pages that travel in channels of their own, under a guest that writes to them."""

from __future__ import annotations

import pytest

from qemu_sim.testing import QMPError

MANY = "Migration requires multi-channel URIs"


@pytest.fixture(params=["11.1", "7.2"])
def pair(request, make_guest):
    profile = ("-sim", f"profile={request.param}")
    return (
        make_guest("source", *profile),
        make_guest("destination", *profile, "-incoming", "defer"),
    )


def switch_on(pair, *capabilities, **parameters):
    for guest in pair:
        guest.switch("multifd", *capabilities)
        settings = {name.replace("_", "-"): value for name, value in parameters.items()}
        guest.execute("migrate-set-parameters", settings)


def goes_on(destination, wait):
    wait(lambda: "B" in destination.serial, "a sign on the serial port")
    destination.stand_still()


@pytest.mark.parametrize("channels", [1, 16])
@pytest.mark.parametrize("compression", ["none", "zlib"])
def test_the_guest_counts_on(pair, channels, compression, wait):
    source, destination = pair
    switch_on(pair, multifd_channels=channels, multifd_compression=compression)
    source.migrate_to(destination)
    source.reaches("completed")
    destination.reaches("completed")
    goes_on(destination, wait)


def test_the_guest_counts_on_in_postcopy(pair, wait):
    source, destination = pair
    switch_on(pair, "postcopy-ram")
    source.machine.hold("active")
    source.migrate_to(destination, converges=False)
    source.machine.wait_held("active")
    source.execute("migrate-start-postcopy")
    source.machine.release()
    source.reaches("completed")
    destination.reaches("completed")
    goes_on(destination, wait)


def test_a_cancelled_source_migrates_to_another(source, destination, make_guest, wait):
    another = make_guest("another", "-incoming", "defer")
    switch_on((source, destination, another), multifd_channels=16)
    source.migrate_to(destination, converges=False)
    source.reaches("active")
    source.execute("migrate_cancel")
    source.reaches("cancelled")
    destination.reaches("failed")
    source.migrate_to(another)
    source.reaches("completed")
    goes_on(another, wait)


def test_other_compressions_are_refused(source, destination):
    switch_on((source, destination), multifd_compression="zstd")
    for guest, command in ((source, "migrate"), (destination, "migrate-incoming")):
        with pytest.raises(QMPError, match="multifd-compression=zstd is not simulated"):
            guest.execute(command, uri="tcp:127.0.0.1:0")


def test_an_older_qemu_finds_out_later(make_guest):
    old = ("-sim", "profile=7.2")
    source, destination = make_guest("source", *old), make_guest("old", *old, "-incoming", "defer")
    switch_on((source, destination))
    source.execute("migrate", uri="exec:cat")
    source.reaches("failed")
    assert source.execute("query-status")["running"]
    destination.execute("migrate-incoming", uri="exec:echo")
    assert destination.machine.wait() == 1


@pytest.mark.parametrize("uri", ["exec:cat", "fd:x", "file:/x"])
@pytest.mark.parametrize("capabilities", [("multifd",), ("postcopy-ram", "postcopy-preempt")])
def test_it_takes_an_address_that_can_be_connected_to_again(source, destination, uri, capabilities):
    for guest, command in ((source, "migrate"), (destination, "migrate-incoming")):
        guest.switch(*capabilities)
        with pytest.raises(QMPError, match=MANY):
            guest.execute(command, uri=uri)
        assert guest.told() == []
