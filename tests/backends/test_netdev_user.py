"""Netdev user: its options, and the ports that it takes from the host."""

from __future__ import annotations

import socket

import pytest

from qemu_sim.backends.netdev_user import NetdevUser
from qemu_sim.errors import QMPError
from qemu_sim.testing.client import QMPError as Refused


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.mark.parametrize(
    ("options", "info"),
    [
        ({}, "net=10.0.2.0,restrict=off"),
        ({"net": "1.2.3.4", "restrict": True}, "net=1.0.0.0,restrict=on"),
        ({"net": "192.168.7.0/255.255.255.0"}, "net=192.168.7.0,restrict=off"),
        ({"ipv4": False}, "net=10.0.2.0,restrict=off"),
    ],
)
async def test_the_network(options, info):
    netdev = NetdevUser("u", options)
    await netdev.open()
    assert (netdev.info, netdev.is_open) == (info, True)
    netdev.close()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"net": "x"}, "Failed to parse netmask"),
        ({"net": "10.0.0.0/99"}, "Invalid netmask provided (must be in range 4-32)"),
        ({"net": "10.0.0.0/x"}, "Failed to parse netmask (trailing chars)"),
        ({"host": "1.2.3.4"}, "Host doesn't belong to network"),
        ({"host": "x"}, "Failed to parse host"),
        ({"dns": "10.0.2.2"}, "DNS must be different from host"),
        ({"dns": "9.9.9.9", "restrict": True}, "DNS doesn't belong to network"),
        ({"dhcpstart": "9.9.9.9"}, "DHCP doesn't belong to network"),
        ({"dhcpstart": "10.0.2.3"}, "DHCP must be different from host and DNS"),
        ({"ipv4": False, "ipv6": False}, "IPv4 and IPv6 disabled"),
        ({"ipv4": False, "net": "10.0.0.0/8"}, "IPv4 disabled but netmask/host/dns provided"),
        ({"ipv6-prefix": "x"}, "Failed to parse IPv6 prefix"),
        ({"hostname": "x" * 256}, "'vhostname' parameter cannot exceed 255 bytes"),
        ({"guestfwd": []}, "'guestfwd' of netdev user is not simulated by qemu-sim"),
    ],
)
async def test_what_cannot_be(options, error):
    with pytest.raises(QMPError) as caught:
        await NetdevUser("u", options).open()
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("bogus", "No : separators"),
        ("icmp::1-:2", "Bad protocol name"),
        ("tcp:5590", "Missing : separator"),
        ("tcp:x:1-:2", "Bad host address"),
        ("tcp::1", "Bad host port separator"),
        ("tcp::x-:2", "Bad host port"),
        ("tcp::1-x:2", "Bad guest address"),
        ("tcp::1-:x", "Bad guest port"),
    ],
)
async def test_rules(rule, reason):
    with pytest.raises(QMPError) as caught:
        await NetdevUser("u", {"hostfwd": [{"str": rule}]}).open()
    assert str(caught.value) == f"Invalid host forwarding rule '{rule}' ({reason})"


def test_a_forwarded_port_is_taken_and_refuses(make_machine):
    port = free_port()
    rule = f"tcp:127.0.0.1:{port}-:22"
    machine = make_machine("-M", "none", "-netdev", f"user,id=u,hostfwd={rule}")
    # It may be reset before the client has noticed that it is connected.
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", port), 5) as client,
    ):
        client.recv(1)
    with pytest.raises(Refused, match=f"Could not set up host forwarding rule '{rule}'"):
        machine.execute("netdev_add", {"type": "user", "id": "v", "hostfwd": [{"str": rule}]})
    machine.execute("netdev_del", id="u")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
