"""The guest's answers, frame by frame."""

import pytest

from qemu_sim.guest.network import Network

MAC = bytes.fromhex("525400123456")


@pytest.fixture
def network():
    return Network(MAC)


@pytest.fixture
def configured():
    return Network(MAC, frozenset({"10.0.0.2"}), frozenset({"fd00::2"}))


# -- who has what ----------------------------------------------------------


@pytest.mark.parametrize("target", ["10.0.0.2", "10.0.0.254", "192.168.7.7"])
def test_arp_is_answered_for_any_address(network, frames, target):
    (reply,) = network.receive(frames.arp(target))
    assert reply[:14] == frames.HOST + MAC + b"\x08\x06"
    assert reply[14:22] == bytes.fromhex("0001080006040002")
    assert reply[22:] == MAC + frames.packed(target) + frames.HOST + frames.packed("10.0.0.1")


@pytest.mark.parametrize(
    ("target", "sender", "why"),
    [
        ("10.0.0.1", "10.0.0.1", "an announcement"),
        ("10.0.0.1", "0.0.0.0", "a probe"),
        ("224.0.0.1", "10.0.0.1", "multicast"),
        ("255.255.255.255", "10.0.0.1", "broadcast"),
        ("127.0.0.1", "10.0.0.1", "loopback"),
        ("0.0.0.0", "10.0.0.1", "nobody"),
    ],
)
def test_arp_that_must_not_be_answered(network, frames, target, sender, why):
    assert network.receive(frames.arp(target, sender)) == []


def test_arp_replies_are_not_answered(network, frames):
    assert network.receive(frames.arp("10.0.0.2", operation=2)) == []


def test_what_somebody_else_claimed_is_his(network, frames):
    network.receive(frames.arp("10.0.0.9", "10.0.0.5", mac=frames.OTHER))
    assert network.receive(frames.arp("10.0.0.5")) == []
    network.receive(frames.arp("10.0.0.6", "0.0.0.0", mac=frames.OTHER))  # a probe claims, too
    assert network.receive(frames.arp("10.0.0.6")) == []
    assert network.receive(frames.arp("10.0.0.7")) != []


def test_an_address_that_its_owner_asks_for_is_free_again(network, frames):
    network.receive(frames.arp("10.0.0.9", "10.0.0.1"))
    assert network.receive(frames.arp("10.0.0.1", "10.0.0.3")) != []


def test_claims_are_bounded(network, frames):
    for number in range(1000):
        network.receive(frames.arp("10.0.0.9", f"10.1.{number // 250}.{number % 250 + 1}"))
    assert len(network.save()["claims4"]) == 256


def test_a_configured_guest_answers_for_its_own_and_defends_it(configured, frames):
    assert configured.receive(frames.arp("10.0.0.3")) == []
    assert configured.receive(frames.arp("10.0.0.2")) != []
    assert configured.receive(frames.arp("10.0.0.2", "0.0.0.0")) != []


@pytest.mark.parametrize("target", ["fd00::2", "fe80::1234:5678"])
def test_neighbour_discovery_for_any_address(network, frames, target):
    (reply,) = network.receive(frames.solicitation(target))
    assert reply[:14] == frames.HOST + MAC + b"\x86\xdd"
    packet = reply[14:]
    assert packet[7] == 255
    assert packet[8:24] == frames.packed(target)
    assert packet[24:40] == frames.packed("fd00::1")
    assert packet[40:42] == b"\x88\0"
    assert packet[44:48] == b"\x60\0\0\0"  # solicited, override
    assert packet[48:] == frames.packed(target) + b"\x02\x01" + MAC
    assert frames.intact(packet)


def test_duplicate_address_detection_is_left_to_the_host(network, frames):
    probe = frames.solicitation("fd00::5", source="::", sender=frames.OTHER)
    assert network.receive(probe) == []
    assert network.receive(frames.solicitation("fd00::5")) == []  # claimed by the prober
    assert network.receive(frames.solicitation("fd00::1")) == []  # the asker's own


def test_a_configured_guest_defends_its_ipv6_address(configured, frames):
    (reply,) = configured.receive(frames.solicitation("fd00::2", source="::"))
    assert reply[38:54] == frames.packed("ff02::1")
    assert reply[58:62] == b"\x20\0\0\0"  # override, not solicited
    assert frames.intact(reply[14:])
    assert configured.receive(frames.solicitation("fd00::3")) == []


def test_a_solicitation_from_beyond_a_router_is_no_solicitation(network, frames):
    assert network.receive(frames.solicitation("fd00::2", hops=254)) == []


# -- echo ------------------------------------------------------------------


def test_ping_ipv4(network, frames):
    packet = frames.ipv4(1, frames.icmp(b"hello"))
    (reply,) = network.receive(
        frames.ethernet(0x800, packet) + bytes(18)
    )  # padded, as Ethernet does
    assert reply[:14] == frames.HOST + MAC + b"\x08\0"
    assert reply[26:34] == frames.packed("10.0.0.2") + frames.packed("10.0.0.1")
    assert reply[34:36] == b"\0\0"
    assert reply[38:] == b"\0\x01\0\x02hello"
    assert frames.intact(reply[14:])


def test_ping_with_header_options(network, frames):
    packet = frames.ipv4(1, frames.icmp(), options=b"\x01" * 8)
    (reply,) = network.receive(frames.ethernet(0x800, packet))
    assert frames.intact(reply[14:])


def test_ping_ipv6(network, frames):
    packet = frames.ipv6(58, frames.icmpv6(b"hello"))
    (reply,) = network.receive(frames.ethernet(0x86DD, packet))
    assert reply[14:][40:42] == b"\x81\0"
    assert reply[-5:] == b"hello"
    assert frames.intact(reply[14:])


@pytest.mark.parametrize("size", [0, 1, 1400])
@pytest.mark.parametrize("version", [4, 6])
def test_udp_comes_back(network, frames, version, size):
    payload = bytes(range(256)) * 6
    if version == 4:
        datagram = frames.udp(payload[:size], "10.0.0.2", "10.0.0.1")
        frame = frames.ethernet(0x800, frames.ipv4(17, datagram))
    else:
        datagram = frames.udp(payload[:size], "fd00::2", "fd00::1")
        frame = frames.ethernet(0x86DD, frames.ipv6(17, datagram))
    (reply,) = network.receive(frame)
    body = reply[14 + (20 if version == 4 else 40) :]
    assert body[:4] == (7).to_bytes(2, "big") + (5000).to_bytes(2, "big")
    assert body[8:] == payload[:size]
    assert frames.intact(reply[14:])


def test_udp_without_a_checksum_is_fine_in_ipv4_only(network, frames):
    bare = bytes.fromhex("138800070009000041")
    assert network.receive(frames.ethernet(0x800, frames.ipv4(17, bare))) != []
    assert network.receive(frames.ethernet(0x86DD, frames.ipv6(17, bare))) == []


@pytest.mark.parametrize("position", [20, 22, 30])
def test_a_spoilt_message_gets_no_answer(network, frames, position):
    packet = bytearray(frames.ipv4(1, frames.icmp(b"some payload")))
    packet[position] ^= 1
    assert network.receive(frames.ethernet(0x800, bytes(packet))) == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "255.255.255.255"),
        ("10.0.0.1", "224.0.0.251"),
        ("127.0.0.1", "10.0.0.2"),
        ("0.0.0.0", "10.0.0.2"),
        ("224.0.0.1", "10.0.0.2"),
    ],
)
def test_addresses_that_no_echo_may_have(network, frames, source, target):
    packet = frames.ipv4(1, frames.icmp(), target=target, source=source)
    assert network.receive(frames.ethernet(0x800, packet)) == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("fd00::1", "fd00::1"),
        ("fd00::1", "ff02::1"),
        ("ff02::1", "fd00::2"),
        ("::", "fd00::2"),
        ("::1", "fd00::2"),
        ("fd00::1", "::1"),
    ],
)
def test_ipv6_addresses_that_no_echo_may_have(network, frames, source, target):
    message = frames.icmpv6(source=source, target=target)
    packet = frames.ipv6(58, message, target=target, source=source)
    assert network.receive(frames.ethernet(0x86DD, packet)) == []


def test_a_configured_guest_has_no_other_ipv6_address(configured, frames):
    packet = frames.ipv6(58, frames.icmpv6(target="fd00::3"), target="fd00::3")
    assert configured.receive(frames.ethernet(0x86DD, packet)) == []


def test_packets_cut_at_every_length_get_no_answer(network, frames):
    for frame in frames.good()[:5]:
        for length in range(len(frame)):
            assert network.receive(frame[:length]) == []


@pytest.mark.parametrize("kind", [0, 3, 13, 128, 129, 133])
def test_other_messages_get_no_answer(network, frames, kind):
    packet = frames.ipv4(1, frames.icmp(kind=kind))
    assert network.receive(frames.ethernet(0x800, packet)) == []
    if kind != 128:
        packet = frames.ipv6(58, frames.icmpv6(kind=kind))
        assert network.receive(frames.ethernet(0x86DD, packet)) == []


@pytest.mark.parametrize(("position", "value"), [(14, 0x40), (19, 0xFF)])
def test_ipv6_headers_that_lie(network, frames, position, value):
    frame = bytearray(frames.good()[4])
    frame[position] = value
    assert network.receive(bytes(frame)) == []


@pytest.mark.parametrize(("position", "value"), [(14, 0x55), (14, 0x44), (14, 0x4F), (16, 0xFF)])
def test_ipv4_headers_that_lie(network, frames, position, value):
    frame = bytearray(frames.good()[2])
    frame[position] = value
    assert network.receive(bytes(frame)) == []


def test_udp_from_port_zero_asks_for_no_answer(network, frames):
    datagram = frames.udp(b"x", "10.0.0.2", "10.0.0.1", ports=(0, 7))
    assert network.receive(frames.ethernet(0x800, frames.ipv4(17, datagram))) == []


def test_frames_for_others(network, configured, frames):
    packet = frames.ipv4(1, frames.icmp())
    assert network.receive(frames.ethernet(0x800, packet, to=frames.OTHER)) == []
    assert network.receive(frames.ethernet(0x800, packet, to=frames.EVERYBODY)) == []
    assert network.receive(frames.ethernet(0x800, packet, sender=MAC)) == []
    assert network.receive(frames.ethernet(0x8100, packet)) == []
    other = frames.ipv4(1, frames.icmp(), target="10.0.0.3")
    assert configured.receive(frames.ethernet(0x800, other)) == []
