"""A ping through the kernel that accounts for every packet.

`python ping.py ADDRESS COUNT INTERVAL SIZE` pings from where it is and prints one JSON
object. After SIGTERM it sends no more, and reports what became of those it had sent.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import select
import signal
import socket
import struct
import sys
import time

_LINGER = 2.0  # seconds
_LARGEST = 0x20000  # bytes, more than any packet
_SO_RCVBUFFORCE = 33  # Linux: socket(7)
_ROOM = 8 << 20  # bytes: some ten thousand answers


def command(address: str, count: int, interval: float, size: int = 56) -> list[str]:
    """Return the command that sends `count` pings of `size` bytes, `interval` seconds apart."""
    return [sys.executable, __file__, address, str(count), str(interval), str(size)]


class Ping:
    """One run of pings to one address, of either IP version."""

    def __init__(self, address: str, size: int = 56) -> None:
        """`size` in bytes, without headers. Raises OSError without the right to send ICMP."""
        self._address = address
        self._v4 = isinstance(ipaddress.ip_address(address), ipaddress.IPv4Address)
        self._request, self._reply = (8, 0) if self._v4 else (128, 129)
        family = socket.AF_INET if self._v4 else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if self._v4 else socket.IPPROTO_ICMPV6
        self._sock = socket.socket(family, socket.SOCK_RAW, protocol)
        # Each socket gets all answers to anybody: those that come while nobody looks need room,
        # or what the kernel drops here would count as lost.
        with contextlib.suppress(PermissionError):
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        self._payload = bytes(i % 256 for i in range(size))
        self._ident = os.urandom(2)  # late answers to an earlier ping are not this one's
        self._sent_at: list[float] = []
        self._answers: list[int] = []
        self._round_trips: list[float] = []
        self._spoilt = 0
        self._stopped = False

    def stop(self) -> None:
        """Send no more; may be called from a signal handler or another thread."""
        self._stopped = True

    def run(self, count: int, interval: float, linger: float = _LINGER) -> None:
        """Send `count` requests, `interval` seconds apart, and take what comes back.

        Answers may come up to `linger` seconds after the last request.
        """
        begin = time.monotonic()
        with self._sock:
            while len(self._sent_at) < count and not self._stopped:
                due = begin + len(self._sent_at) * interval
                if time.monotonic() >= due:
                    self._send()
                else:
                    self._take_until(due)
            deadline = time.monotonic() + linger
            while len(set(self._answers)) < len(self._sent_at) and time.monotonic() < deadline:
                self._take_until(deadline)

    def report(self) -> dict[str, int]:
        """Return what was sent, received, received twice and spoilt, and times in microseconds."""
        distinct = len(set(self._answers))
        times = sorted(self._round_trips) or [0.0]
        return {
            "sent": len(self._sent_at),
            "received": distinct,
            "duplicates": len(self._answers) - distinct,
            "spoilt": self._spoilt,
            "rtt-max-us": round(times[-1] * 1e6),
            "rtt-median-us": round(times[len(times) // 2] * 1e6),
        }

    def _send(self) -> None:
        number = len(self._sent_at)
        self._sent_at.append(time.monotonic())
        message = _echo(self._request, self._ident, number, self._payload)
        self._sock.sendto(message, (self._address, 0))

    def _take_until(self, due: float) -> None:
        """Take one message, unless none comes until `due`."""
        left = max(due - time.monotonic(), 0)
        if not select.select([self._sock], [], [], left)[0]:
            return
        message = self._sock.recv(_LARGEST)
        if self._v4:  # a raw socket shows the IP header
            message = message[message[0] % 16 * 4 :]
        if message[0] != self._reply or message[4:6] != self._ident:
            return
        number = int.from_bytes(message[6:8], "big")
        self._round_trips.append(time.monotonic() - self._sent_at[number])
        self._answers.append(number)
        self._spoilt += message[8:] != self._payload


def _echo(kind: int, ident: bytes, number: int, payload: bytes) -> bytes:
    """An echo request; the kernel fills in the checksum of ICMPv6, not of ICMP."""
    rest = ident + number.to_bytes(2, "big") + payload
    message = bytes([kind, 0, 0, 0]) + rest
    words: int = sum(struct.unpack(f">{len(message) // 2}H", message[: len(message) // 2 * 2]))
    words += message[-1] << 8 if len(message) % 2 else 0
    words = (words & 0xFFFF) + (words >> 16)
    words = (words & 0xFFFF) + (words >> 16)
    return bytes([kind, 0]) + (0xFFFF - words).to_bytes(2, "big") + rest


def _main(address: str, count: str, interval: str, size: str) -> None:
    ping = Ping(address, int(size))
    signal.signal(signal.SIGTERM, lambda *_: ping.stop())
    ping.run(int(count), float(interval))
    sys.stdout.write(json.dumps(ping.report()))


if __name__ == "__main__":
    _main(*sys.argv[1:])
