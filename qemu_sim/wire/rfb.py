"""RFB, the protocol of VNC: what a server says to one client, without a socket.

RFC 6143; QEMU: ui/vnc.c

The picture is black and never changes: a guest that draws nothing has no other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator

from qemu_sim.errors import WireError

WIDTH, HEIGHT = 640, 480  # of QEMU's picture while a guest has drawn none
VERSION = b"RFB 003.008\n"
CHALLENGE_SIZE = 16

_NO_AUTHENTICATION, _PASSWORD = 1, 2
_MINORS = {b"003.003": 3, b"003.004": 3, b"003.005": 3, b"003.007": 7, b"003.008": 8}
_FAILED = b"Authentication failed\0"  # QEMU counts the NUL
_DEPTHS = (8, 16, 32)  # bits of a pixel
_LONGEST_TEXT = 1 << 20  # of a client's clipboard, in bytes
_RAW = 0

_PIXELS = struct.Struct(">BBBBHHHBBB3x")
_BEFORE = _PIXELS.pack(32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
_INIT = struct.Struct(">HH")
_UPDATE = struct.Struct(">BxH")
_RECTANGLE = struct.Struct(">HHHHi")
_ASKED = struct.Struct(">BHHHH")

Needs = Generator[int, bytes, None]  # yields how many bytes come next, and is sent them


class Rfb:
    """The dialogue with one client."""

    def __init__(
        self,
        name: str,
        admit: Callable[[bool], bool],
        challenge: bytes = b"",
        check: Callable[[bytes], bool] | None = None,
    ) -> None:
        """Greet. `name` is the title of the client's window.

        `admit(shared)` says whether a client that wants to share the display, or not, may
        come in. Without `check(response)` nothing proves that a client knows the password.
        """
        self._name = name.encode()
        self._admit = admit
        self._challenge = challenge
        self._check = check
        self._bits = 32
        self._draws = True
        self._arrived = bytearray()
        self._output = bytearray()
        self._talk = self._begin()
        self._needed = next(self._talk)

    def receive(self, data: bytes, *, draws: bool = True) -> None:
        """Take what the client sent. Raises WireError where the connection must end.

        Without `draws` it is not sent a picture: there is one on its way to it.
        """
        self._draws = draws
        self._arrived += data
        while len(self._arrived) >= self._needed:
            taken = bytes(self._arrived[: self._needed])
            del self._arrived[: self._needed]
            self._needed = self._talk.send(taken)

    def take_output(self) -> bytes:
        """Return what is to be sent, once."""
        output, self._output = bytes(self._output), bytearray()
        return output

    def _begin(self) -> Needs:
        self._output += VERSION
        version = yield len(VERSION)
        minor = _MINORS.get(version[4:11])
        if minor is None:
            raise WireError(f"a VNC client of version {version!r}")
        yield from self._authenticate(minor)
        shared = yield 1
        if not self._admit(shared != b"\0"):
            raise WireError("the display is not shared")
        self._output += _INIT.pack(WIDTH, HEIGHT) + _BEFORE
        self._output += struct.pack(">I", len(self._name)) + self._name
        while True:
            kind = yield 1
            yield from self._message(kind[0])

    def _authenticate(self, minor: int) -> Needs:
        kind = _PASSWORD if self._check is not None else _NO_AUTHENTICATION
        if minor < 7:  # noqa: PLR2004 - since which the client chooses
            self._output += struct.pack(">I", kind)
        else:
            self._output += bytes([1, kind])
            chosen = yield 1
            if chosen[0] != kind:
                self._refuse(minor)
        if self._check is not None:
            self._output += self._challenge
            response = yield CHALLENGE_SIZE
            if not self._check(response):
                self._refuse(minor)
        if self._check is not None or minor >= 8:  # noqa: PLR2004 - which always tells
            self._output += struct.pack(">I", 0)

    def _refuse(self, minor: int) -> None:
        self._output += struct.pack(">I", 1)
        if minor >= 8:  # noqa: PLR2004 - since which there is a reason
            self._output += struct.pack(">I", len(_FAILED)) + _FAILED
        raise WireError("VNC authentication failed")

    def _message(self, kind: int) -> Needs:
        reader = _MESSAGES.get(kind)
        if reader is None:
            raise WireError(f"message {kind} of a VNC client")
        yield from reader(self)

    def _set_pixel_format(self) -> Needs:
        told = yield 3 + _PIXELS.size
        bits, _, _, true_color, *_ = _PIXELS.unpack_from(told, 3)
        self._bits = bits if true_color else 8
        if self._bits not in _DEPTHS:
            raise WireError(f"a VNC client's pixels of {bits} bits")

    def _set_encodings(self) -> Needs:
        count = yield 3
        yield 4 * int.from_bytes(count[1:])  # the one that all clients know is enough

    def _update(self) -> Needs:
        asked = yield _ASKED.size
        incremental, x, y, width, height = _ASKED.unpack(asked)
        if incremental or not self._draws:
            return
        x, y = min(x, WIDTH), min(y, HEIGHT)
        width, height = min(width, WIDTH - x), min(height, HEIGHT - y)
        self._output += _UPDATE.pack(0, 1) + _RECTANGLE.pack(x, y, width, height, _RAW)
        self._output += bytes(width * height * self._bits // 8)

    def _key(self) -> Needs:
        yield 7  # of a keyboard that nobody reads

    def _pointer(self) -> Needs:
        yield 5

    def _clipboard(self) -> Needs:
        header = yield 7
        size = int.from_bytes(header[3:])
        if size > _LONGEST_TEXT:
            raise WireError(f"a VNC client's clipboard of {size} bytes")
        yield size

    def _of_qemu(self) -> Needs:
        kind = yield 1
        if kind != b"\0":
            raise WireError("a VNC client that wants to hear")
        yield 10  # a key again


_MESSAGES: dict[int, Callable[[Rfb], Needs]] = {
    0: Rfb._set_pixel_format,  # noqa: SLF001 - its own
    2: Rfb._set_encodings,  # noqa: SLF001
    3: Rfb._update,  # noqa: SLF001
    4: Rfb._key,  # noqa: SLF001
    5: Rfb._pointer,  # noqa: SLF001
    6: Rfb._clipboard,  # noqa: SLF001
    255: Rfb._of_qemu,  # noqa: SLF001
}
