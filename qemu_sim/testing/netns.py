"""A network namespace of one's own, and addresses in it, without iproute2.

`python netns.py COMMAND...` runs a command as root of its own user and network namespace.
Linux: user_namespaces(7), network_namespaces(7), netdevice(7), rtnetlink(7)
"""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import os
import socket
import struct
import subprocess
import sys

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_RTM_NEWADDR = 20
_REQUEST_ACK_CREATE_EXCL = 0x1 | 0x4 | 0x400 | 0x200
_IFA_F_NODAD = 2
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


def why_not() -> str | None:
    """Return why no TAP can be used in a namespace of our own, None when it can."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"no TAP: /dev/net/tun: {error.strerror}"
    probe = [sys.executable, __file__, sys.executable, "-c", ""]
    done = subprocess.run(  # noqa: S603 - this very file
        probe, capture_output=True, text=True, check=False
    )
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
        """Leave the present namespace for a new, empty one."""
        _call("unshare", _CLONE_NEWNET)
        up("lo")

    def leave(self) -> None:
        """Go back to where it was made."""
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
    family = socket.AF_INET if isinstance(address, ipaddress.IPv4Interface) else socket.AF_INET6
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


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)


if __name__ == "__main__":
    become_root()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the caller's own command
