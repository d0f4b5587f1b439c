"""The guest that writes is saved in a file where each page has its place, and goes on from it."""

from __future__ import annotations

import pytest

from qemu_sim.testing import QMPError

SEEKABLE = "Migration requires seekable transport"
MULTIFD = {"multifd-channels": 4, "direct-io": True}


@pytest.fixture(params=[{}, MULTIFD], ids=["plain", "multifd"])
def pair(request, source, destination):
    for guest in (source, destination):
        guest.switch("mapped-ram", *(["multifd"] if request.param else []))
        guest.execute("migrate-set-parameters", request.param)
    return source, destination


@pytest.mark.parametrize("stopped", [True, False])
def test_it_goes_on_where_it_stopped(pair, stopped, tmp_path, wait):
    source, destination = pair
    source.execute("migrate-set-parameters", {"downtime-limit": 30_000})
    wait(lambda: "B" in source.serial, "a sign on the serial port")
    if stopped:
        source.stand_still()
    uri = f"file:{tmp_path}/saved,offset=4097"
    source.execute("migrate", uri=uri)
    source.reaches("completed")
    left = source.counts()
    destination.execute("migrate-incoming", uri=uri)
    destination.reaches("completed")
    if stopped:
        assert destination.counts() == left
        destination.execute("cont")
    wait(lambda: "B" in destination.serial, "a sign on the serial port")
    destination.stand_still()


@pytest.mark.parametrize("uri", ["exec:cat", "fd:x", "unix:/x", "tcp:127.0.0.1:0"])
def test_it_takes_a_file(source, destination, uri):
    for guest, command in ((source, "migrate"), (destination, "migrate-incoming")):
        guest.switch("mapped-ram")
        with pytest.raises(QMPError, match=SEEKABLE):
            guest.execute(command, uri=uri)
        assert guest.told() == []


def test_both_ends_must_have_it(source, destination, tmp_path):
    source.switch("mapped-ram")
    source.stand_still()
    source.execute("migrate", uri=f"file:{tmp_path}/saved")
    source.reaches("completed")
    destination.execute(
        "migrate-incoming", {"uri": f"file:{tmp_path}/saved", "exit-on-error": False}
    )
    destination.reaches("failed")
    assert "Failed to validate capabilities" in destination.execute("query-migrate")["error-desc"]
