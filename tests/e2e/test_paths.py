"""Paths of migration sockets that are of no use: too long, stale, nobody's."""

from __future__ import annotations

import os
import socket

import pytest

from qemu_sim.testing import QMPError, StartFailed

LONGEST = 107  # bytes; sockaddr_un has room for a final zero as well


@pytest.fixture
def pathname(tmp_path):
    """Make a path of so many bytes in a directory of our own."""

    def make(size):
        start = f"/tmp/{tmp_path.name}.{os.getpid()}."
        return start + "x" * (size - len(start))

    return make


@pytest.fixture
def stale(tmp_path):
    """A socket's file whose owner is gone."""
    path = str(tmp_path / "stale")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(path)
    return path


def too_long(path):
    return f"UNIX socket path '{path}' is too long"


@pytest.mark.parametrize("profile", ["11.1", "7.2"])
def test_a_source_that_reaches_nobody_goes_on(net_world, pathname, stale, tmp_path, profile):
    source = net_world.source("-sim", f"profile={profile}")
    long, missing = pathname(LONGEST + 1), str(tmp_path / "missing")
    for path, text in (
        (long, too_long(long)),
        (stale, f"Failed to connect to '{stale}': Connection refused"),
        (missing, f"Failed to connect to '{missing}': No such file or directory"),
    ):
        source.execute("migrate", uri=f"unix:{path}", backend_transfer=True)
        assert ended(source) == ("failed", text)
        net_world.served_by(source)
    assert not any(event["event"] == "STOP" for event in source.events)


def ended(machine):
    while (info := machine.execute("query-migrate"))["status"] not in ("failed", "completed"):
        pass
    return info["status"], info.get("error-desc")


@pytest.mark.parametrize("size", [LONGEST, "stale"])
def test_the_longest_path_and_a_stale_one_will_do(net_world, pathname, stale, size):
    path = stale if size == "stale" else pathname(size)
    source, destination = net_world.pair()
    destination.execute("migrate-incoming", uri=f"unix:{path}")
    net_world.migrate(source, f"unix:{path}")
    source.wait_event("MIGRATION", status="completed")
    destination.wait_event("RESUME")
    net_world.served_by(destination, source)
    assert not os.path.exists(path)


@pytest.mark.parametrize("profile", ["11.1", "7.2"])
def test_a_destination_says_that_a_path_is_too_long(net_world, pathname, profile):
    """QEMU 11.1 cannot be told another one afterwards."""
    path = pathname(LONGEST + 1)
    destination = net_world.destination("-sim", f"profile={profile}")
    with pytest.raises(QMPError) as error:
        destination.execute("migrate-incoming", uri=f"unix:{path}")
    assert error.value.desc == too_long(path)
    if profile == "7.2":
        assert destination.listen()
        return
    with pytest.raises(QMPError, match="Illegal migration incoming state: setup"):
        destination.listen()


def test_a_destination_started_at_a_path_that_is_too_long_ends(net_world, pathname):
    path = pathname(LONGEST + 1)
    with pytest.raises(StartFailed, match="is too long"):
        net_world.raw(*net_world.argv(), "-incoming", f"unix:{path}", name="destination")
