"""Postcopy that loses its channel, and how a client brings it a new one.

As in QEMU's tests/qtest/migration/postcopy-tests.c, with the guest that writes all the while.
"""

from __future__ import annotations

import socket

import pytest

from qemu_sim.testing import QMPError

COMMAND = b"\x08"  # a first byte, so that a destination takes the channel for a source's
PREEMPT = ("postcopy-preempt",)
SLOW = {"max-postcopy-bandwidth": 4096}
NOT_NOW = "migrate-pause is currently only supported during"


@pytest.fixture
def paused(request, source, destination):
    """Return two machines whose migration a client has paused in postcopy."""
    for guest in (source, destination):
        guest.switch("postcopy-ram", *getattr(request, "param", ()))
    source.execute("migrate-set-parameters", SLOW)
    source.migrate_to(destination, converges=False)
    source.reaches("active")
    with pytest.raises(QMPError, match=NOT_NOW):
        source.execute("migrate-pause")
    source.execute("migrate-start-postcopy")
    source.reaches("postcopy-active")
    source.machine.execute_oob("migrate-pause")
    source.reaches("postcopy-paused")
    destination.reaches("postcopy-paused")
    return source, destination


def recover(source, destination, tmp_path, wait):
    """Bring a good channel; the guest has never stopped to count."""
    uri = f"unix:{tmp_path}/recovered"
    destination.machine.execute_oob("migrate-recover", uri=uri)
    source.execute("migrate", uri=uri, resume=True)
    source.reaches("postcopy-recover-setup", "postcopy-recover", "postcopy-active")
    source.execute("migrate-set-parameters", {"max-postcopy-bandwidth": 0})
    source.reaches("completed")
    destination.reaches("completed")
    wait(lambda: "B" in destination.serial, "a sign on the serial port")
    destination.stand_still()


def bring_unrelated_channels(source, destination, *, hangs_up):
    """Give each side one end of a connection whose other end is a stranger's."""
    strangers = []
    for guest in (source, destination):
        stranger, ours = socket.socketpair()
        with ours:
            guest.machine.send_fd("wrong", ours.fileno())
        strangers.append(stranger)
    strangers[1].send(COMMAND)
    if hangs_up:
        strangers[0].close()
    destination.machine.execute_oob("migrate-recover", uri="fd:wrong")
    source.execute("migrate", uri="fd:wrong", resume=True)
    return strangers


@pytest.mark.parametrize("paused", [(), PREEMPT], ids=["plain", "preempt"], indirect=True)
def test_a_new_channel_is_all_it_needs(paused, tmp_path, wait):
    source, destination = paused
    for guest in paused:
        with pytest.raises(QMPError, match=NOT_NOW):
            guest.machine.execute_oob("migrate-pause")
    recover(source, destination, tmp_path, wait)


@pytest.mark.parametrize("paused", [PREEMPT], indirect=True)
def test_with_preemption_a_channel_must_be_one_of_several(paused, tmp_path, wait):
    source, destination = paused
    for guest in paused:
        stranger, ours = socket.socketpair()
        with stranger, ours:
            guest.machine.send_fd("single", ours.fileno())
    with pytest.raises(QMPError, match="Migration requires multi-channel URIs"):
        source.execute("migrate", uri="fd:single", resume=True)
    with pytest.raises(QMPError, match="Migration requires multi-channel URIs"):
        destination.machine.execute_oob("migrate-recover", uri="fd:single")
    recover(source, destination, tmp_path, wait)


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_wrong_channel_is_given_up_for_a_good_one(paused, hangs_up, tmp_path, wait):
    source, destination = paused
    seen = len(source.told())
    strangers = bring_unrelated_channels(source, destination, hangs_up=hangs_up)
    source.reaches("postcopy-recover-setup")
    destination.reaches("postcopy-recover")
    if not hangs_up:  # else the source finds out by itself
        source.reaches("postcopy-recover")
        source.machine.execute_oob("migrate-pause")
    source.reaches("postcopy-paused")
    assert source.told()[seen:] == ["postcopy-recover-setup", "postcopy-recover", "postcopy-paused"]
    reason = source.execute("query-migrate")["error-desc"]
    by_user = "Postcopy migration is paused by the user"
    assert (reason == by_user) != hangs_up
    destination.machine.execute_oob("migrate-pause")
    destination.reaches("postcopy-paused")
    for stranger in strangers:
        stranger.close()
    recover(source, destination, tmp_path, wait)


def test_a_source_that_waits_for_an_answer_can_be_paused_again_and_again(paused, tmp_path, wait):
    source, destination = paused
    for _ in range(3):
        stranger, ours = socket.socketpair()
        with ours, stranger:
            source.machine.send_fd("silent", ours.fileno())
            source.execute("migrate", uri="fd:silent", resume=True)
            source.reaches("postcopy-recover")
            source.machine.execute_oob("migrate-pause")
            source.reaches("postcopy-paused")
    assert destination.told()[-1] == "postcopy-paused"
    recover(source, destination, tmp_path, wait)
