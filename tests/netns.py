"""A network namespace of one's own, addresses without iproute2, and a ping that counts.

`python netns.py run COMMAND...` runs a command as root of its own user and network
namespace; `python netns.py ping ADDRESS COUNT INTERVAL SIZE` pings from where it is and
prints one JSON object.
"""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_RTM_NEWADDR = 20
_REQUEST_ACK_CREATE_EXCL = 0x1 | 0x4 | 0x400 | 0x200
_IFA_F_NODAD = 2
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_LINGER = 2.0


def why_not() -> str | None:
    """Return why no TAP can be used in a namespace of our own, None when it can."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"no TAP: /dev/net/tun: {error.strerror}"
    probe = [sys.executable, __file__, "run", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"no network namespace: {done.stderr.strip().splitlines()[-1]}"
    return None


def has_ipv6() -> bool:
    """Whether the kernel speaks IPv6."""
    return os.path.exists("/proc/net/if_inet6")


class Namespace:
    """The calling thread's own network namespace, from `enter` to `leave`. Root only."""

    def __init__(self) -> None:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> None:
        _call("unshare", _CLONE_NEWNET)
        up("lo")

    def leave(self) -> None:
        _call("setns", self._home, _CLONE_NEWNET)
        os.close(self._home)


def become_root() -> None:
    """Become root of a new user and network namespace; a real root needs no user namespace."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _call("unshare", _CLONE_NEWNET)
    else:
        _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {uid} 1"),
            ("gid_map", f"0 {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    up("lo")


def up(name: str, *addresses: str) -> None:
    """Bring an interface up and add addresses such as 10.0.0.1/24, usable at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = bytearray(struct.pack("16sH22x", name.encode(), 0))
        fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
        flags = struct.unpack_from("H", request, 16)[0] | _IFF_UP
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags))
    for address in addresses:
        add_address(name, address)


def add_address(name: str, text: str, *, detect: bool = False) -> None:
    """Add an address such as 10.0.0.1/24; `detect`: IPv6 asks first whether it is free."""
    address, index = ipaddress.ip_interface(text), socket.if_nametoindex(name)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = address.ip.packed
    body = struct.pack(
        "BBBBI", family, address.network.prefixlen, 0 if detect else _IFA_F_NODAD, 0, index
    )
    for kind in (_IFA_LOCAL, _IFA_ADDRESS):
        body += struct.pack("HH", 4 + len(packed), kind) + packed
    header = struct.pack("IHHII", 16 + len(body), _RTM_NEWADDR, _REQUEST_ACK_CREATE_EXCL, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.send(header + body)
        error = -struct.unpack_from("i", sock.recv(4096), 16)[0]
    if error:
        raise OSError(error, os.strerror(error), str(address))


def detect_quickly(name: str) -> None:
    """Let IPv6 duplicate address detection begin at once and take 50 ms, not seconds."""
    settings = {f"conf/{name}/router_solicitation_delay": 0, f"neigh/{name}/retrans_time_ms": 50}
    for setting, value in settings.items():
        with open(f"/proc/sys/net/ipv6/{setting}", "w", encoding="ascii") as file:
            file.write(str(value))


def down(name: str) -> None:
    """Take an interface down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), 0))


def ping_command(address: str, count: int, interval: float, size: int = 56) -> list[str]:
    """Return the command that runs `ping` of this file."""
    return [sys.executable, __file__, "ping", address, str(count), str(interval), str(size)]


def ping(address: str, count: int, interval: float, size: int) -> dict:
    """Ping through the kernel; return what was sent, received, received twice, or spoilt."""
    version = ipaddress.ip_address(address).version
    request, reply = (8, 0) if version == 4 else (128, 129)
    payload = bytes(i % 256 for i in range(size))
    ident = (os.getpid() & 0xFFFF).to_bytes(2, "big")
    rtts: list[float] = []
    answers: list[int] = []
    spoilt = 0
    with _icmp_socket(version) as sock:
        begin = time.monotonic()
        sent_at: list[float] = []
        while len(sent_at) < count or len(set(answers)) < count:
            now = time.monotonic()
            due = begin + len(sent_at) * interval
            if len(sent_at) < count and now >= due:
                sent_at.append(now)
                sock.sendto(_echo(request, ident, len(sent_at) - 1, payload), (address, 0))
                continue
            if len(sent_at) == count:
                due = sent_at[-1] + _LINGER
                if now >= due:
                    break
            if not select.select([sock], [], [], due - now)[0]:
                continue
            message = sock.recv(0x20000)
            if version == 4:  # a raw socket shows the IP header
                message = message[message[0] % 16 * 4 :]
            if message[0] != reply or message[4:6] != ident:
                continue
            number = int.from_bytes(message[6:8], "big")
            rtts.append((time.monotonic() - sent_at[number]) * 1e6)
            answers.append(number)
            spoilt += message[8:] != payload
    return {
        "sent": len(sent_at),
        "received": len(set(answers)),
        "duplicates": len(answers) - len(set(answers)),
        "spoilt": spoilt,
        "rtt-max-us": round(max(rtts, default=0)),
        "rtt-median-us": round(sorted(rtts)[len(rtts) // 2]) if rtts else 0,
    }


def _icmp_socket(version: int) -> socket.socket:
    if version == 4:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    return socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)


def _echo(kind: int, ident: bytes, number: int, payload: bytes) -> bytes:
    """An echo request; the kernel fills in the checksum of ICMPv6, not of ICMP."""
    rest = ident + number.to_bytes(2, "big") + payload
    message = bytes([kind, 0, 0, 0]) + rest
    words = sum(struct.unpack(f">{len(message) // 2}H", message[: len(message) // 2 * 2]))
    words += message[-1] << 8 if len(message) % 2 else 0
    words = (words & 0xFFFF) + (words >> 16)
    words = (words & 0xFFFF) + (words >> 16)
    return bytes([kind, 0]) + (0xFFFF - words).to_bytes(2, "big") + rest


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)


if __name__ == "__main__":
    if sys.argv[1] == "run":
        become_root()
        os.execvp(sys.argv[2], sys.argv[2:])
    else:
        target, count, interval, size = sys.argv[2:]
        sys.stdout.write(json.dumps(ping(target, int(count), float(interval), int(size))))
