"""`qemu-sim inspect` of what passed on a channel that carried descriptors."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest


@pytest.fixture
def inspect(tmp_path, environment):
    """Return the lines that show a stream."""

    def run(stream):
        path = tmp_path / "stream"
        path.write_bytes(stream)
        command = [sys.executable, "-m", "qemu_sim", "inspect", str(path)]
        shown = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=30, check=False
        )
        assert (shown.returncode, shown.stderr) == (0, "")
        return [line.strip() for line in shown.stdout.splitlines()]

    return run


def test_a_negotiated_hand_over(world, relay, inspect):
    """The handshake's, guest RAM, the TAP, and what a vhost-user session has."""
    source, destination = world.pair()
    passed = []

    def note(forth, data, fds):
        if forth:
            passed.append((data, len(fds)))
        return [data], fds

    world.migrate(source, relay(destination, note))
    source.wait_event("MIGRATION", status="completed")
    lines = inspect(b"".join(data for data, _ in passed))
    commands = [line.split()[-1] for line in lines if "command " in line]
    assert [each for each in commands if each in ("offer", "commit")] == ["offer", "commit"]
    count = sum(count for _, count in passed)
    assert sum(line.endswith("a descriptor") for line in lines) == count
    fds = {name: device.fds for name, device in source.query_migrate().devices.items()}
    assert count == sum(fds.values()) + 2
    for name in fds:
        assert any(f"'/machine/peripheral/{name}/backend' 0" in line for line in lines)
    assert any(f", {count} descriptors, " in line for line in lines)
    world.served_by(destination, source)


@pytest.mark.parametrize("dialect", ["bool", "local"])
def test_a_tap_in_a_plain_stream(netns, make_machine, tmp_path, inspect, dialect):
    tap = "tap,id=net0,ifname=tap0,script=no,downscript=no,queues=2"
    source = make_machine(
        *("-M", "pc", "-m", "16", "-sim", f"dialect={dialect}", "-netdev", tap),
        *("-device", "virtio-net-pci,id=nic0,netdev=net0,mq=on"),
    )
    name = {"bool": "backend-transfer", "local": "local"}[dialect]
    source.execute("migrate-set-parameters", {name: True})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "mig"))
        listener.listen()
        source.execute("migrate", uri=f"unix:{tmp_path}/mig")
        peer, _ = listener.accept()
    with peer, peer.makefile("rb") as file:
        lines = inspect(file.read())
    assert lines.count("fd: a descriptor") == 2
    assert any(", 2 descriptors, " in line for line in lines)
