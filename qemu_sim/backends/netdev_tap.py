"""A TAP interface of the host.

QEMU: net/tap.c, net/tap-linux.c

Opened by name (`ifname`, one descriptor a queue pair) or taken over ready-made (`fd`,
`fds`). A hand-over moves the open queues: the interface, its carrier, the frames waiting
in it stay as they are. The network scripts belong to opening and closing an interface, so
a TAP that was handed over has had its up script, and neither side runs the down script.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from qemu_sim.backends.netdev import Netdev, Receive
from qemu_sim.backends.tap import Tap
from qemu_sim.backends.tap_options import check_options
from qemu_sim.backends.tap_transfer import received_tap, tap_of, tap_state
from qemu_sim.errors import MigrationError, QMPError
from qemu_sim.fds import Fd, TaggedFd, close_all
from qemu_sim.io import tun
from qemu_sim.wire.virtio_net_header import SHORT

_UP_SCRIPT = "/etc/qemu-ifup"
_DOWN_SCRIPT = "/etc/qemu-ifdown"
_NO_SCRIPT = "no"
_ANY_NAME = "tap%d"
_MAX_SEND_BUFFER = 0x7FFFFFFF
_ALREADY_OPEN = "TAP is already initialized and cannot receive incoming fd"


class NetdevTap(Netdev):
    """A netdev of type tap; `options` are the members of NetdevTapOptions."""

    TYPE = "tap"

    def __init__(self, id: str, options: dict[str, Any], fds: Sequence[Fd] = ()) -> None:
        """Check what the options exclude; nothing is opened, nor looked into, before `open`."""
        super().__init__(id, options, fds)
        self._tap: Tap | None = None
        self._held = False  # between quiesce and release, between adopt and activate
        try:
            check_options(options, len(self._given))
        except QMPError:
            close_all(self._given)
            raise
        self.queues = len(self._given) or options.get("queues", 1)

    @property
    def is_open(self) -> bool:
        """Whether the queues are open here, adopted ones included."""
        return self._tap is not None

    @property
    def info(self) -> str:
        """The interface and its scripts; of descriptors from elsewhere that they are some."""
        if "fd" in self.options or "fds" in self.options:
            return f"fd={self.options.get('fd') or self.options['fds']}"
        name = self.options.get("ifname", "") if self._tap is None else self._tap.name
        up, down = (
            self.options.get(option, default)
            for option, default in (("script", _UP_SCRIPT), ("downscript", _DOWN_SCRIPT))
        )
        return f"ifname={name},script={up},downscript={down}"

    async def open(self) -> None:
        """Open the interface, or take the given descriptors. Raises QMPError."""
        assert self._tap is None, f"netdev {self.id} is open"
        self._tap = self._take_given() if self._given else self._open_by_name()

    def close(self) -> None:
        """Close the queues; then the down script runs for an interface opened by name."""
        close_all(self._given)
        tap, self._tap, self._held = self._tap, None, False
        if tap is None:
            return
        tap.close()
        script = self._script("downscript", _DOWN_SCRIPT)
        if script:
            _run_script(script, tap.name)

    def start(self, receive: Receive) -> None:
        """Read frames as they come and pass each to `receive`."""
        assert not self._held, f"netdev {self.id} is being handed over"
        self._opened().start(receive)

    def stop(self) -> None:
        """Read nothing from now on; frames wait in the kernel's queue."""
        if self._tap is not None:
            self._tap.stop()

    def send(self, queue: int, frame: bytes) -> bool:
        """Send one Ethernet frame; False when the host refused it."""
        return self._opened().send(queue, frame)

    def enable_queues(self, count: int) -> None:
        """Let the kernel spread its frames over the first `count` queues only."""
        self._opened().enable(count)

    def transfer_blocker(self) -> str | None:
        """Return why it cannot travel. Open: as a source; not open: as a destination."""
        if self._tap is not None:
            return self._tap.failure
        if self._given:
            return "the TAP is given as fd= or fds="
        name = self.options.get("ifname", "")
        if not name or "%d" in name:
            return "the TAP has no ifname=" if not name else f"ifname={name} is a pattern"
        for option, default in (("script", _UP_SCRIPT), ("downscript", _DOWN_SCRIPT)):
            if self._script(option, default):
                return f"the TAP has a network script; {option}=no is required"
        return None

    def identity(self) -> dict[str, Any]:
        """Return interface name, number of queue pairs, and whether frames have a header."""
        if self._tap is None:
            name, header = self.options.get("ifname", _ANY_NAME), self.options.get("vnet_hdr", True)
        else:
            name, header = self._tap.name, self._tap.header_length > 0
        return {"type": self.TYPE, "ifname": name, "queues": self.queues, "vnet-hdr": header}

    def mismatch(self, offered: dict[str, Any]) -> str | None:
        """Return why the source's TAP cannot become this one; names both values."""
        if self._tap is not None:
            return _ALREADY_OPEN
        for key, own in self.identity().items():
            if offered.get(key) != own:
                return f"{key} is {offered.get(key)} on the source and {own} on the destination"
        return self.transfer_blocker()

    def quiesce(self) -> None:
        """Stop reading; what is unread stays for the destination."""
        if self._tap is None:
            raise MigrationError(f"netdev {self.id} is not open")
        if self._tap.failure is not None:
            raise MigrationError(self._tap.failure)
        self._tap.stop()
        self._held = True

    def unquiesce(self) -> None:
        """Let `start` read again."""
        self._held = False

    def hand_over(self) -> tuple[dict[str, Any], list[TaggedFd]]:
        """Return the TAP's state and one "queue" descriptor a queue pair."""
        assert self._held, f"netdev {self.id} is in use"
        return tap_state(self._opened())

    def adopt(self, state: dict[str, Any], fds: list[TaggedFd]) -> None:
        """Own the queues after checking that they are what `state` says, and what we want."""
        try:
            self._require_unopened()
            self._tap = tap_of(self.identity(), state, fds)
        except (MigrationError, OSError):
            close_all(tagged.fd for tagged in fds)
            raise
        self._held = True

    def adopt_unchecked(self, queues: list[Fd], *, header_length: int, enabled: int) -> None:
        """Own `queues` whatever they are: upstream's proposals do not look."""
        self._tap = received_tap(queues, header_length, enabled)
        self._held = True

    def activate(self) -> None:
        """Use the adopted queues; only now may a flag of the shared file be set."""
        for fd in self._opened().queues:
            tun.set_nonblocking(fd)
        self._held = False

    def disown(self) -> None:
        """Close what was adopted, which the source goes on with."""
        self._drop()

    def release(self) -> None:
        """Close the source's copies; the interface lives on at the destination."""
        self._drop()

    def _drop(self) -> None:
        tap, self._tap, self._held = self._tap, None, False
        if tap is not None:
            tap.close()

    def _require_unopened(self) -> None:
        if self._tap is not None:
            raise MigrationError(_ALREADY_OPEN)

    def _opened(self) -> Tap:
        assert self._tap is not None, f"netdev {self.id} is not open"
        return self._tap

    def _script(self, option: str, default: str) -> str | None:
        """Return the script to run; None for "no" and for descriptors from elsewhere."""
        script: str = self.options.get(option, default)
        given = "fd" in self.options or "fds" in self.options
        return None if given or script in ("", _NO_SCRIPT) else script

    def _open_by_name(self) -> Tap:
        queues: list[Fd] = []
        name = self.options.get("ifname", "")
        vnet_hdr = self.options.get("vnet_hdr", True)
        try:
            for _ in range(self.queues):
                fd, name = _open_queue(name, self.queues > 1, vnet_hdr)
                queues.append(fd)
                if len(queues) == 1:
                    self._run_up_script(name)
            return self._prepared(Tap(name, queues, SHORT if vnet_hdr else 0))
        except QMPError:
            close_all(queues)
            raise

    def _run_up_script(self, name: str) -> None:
        script = self._script("script", _UP_SCRIPT)
        status = _run_script(script, name) if script else 0
        if status:
            raise QMPError(f"network script {script} failed with status {status}")

    def _take_given(self) -> Tap:
        headers = {_queried(fd).flags & tun.IFF_VNET_HDR for fd in self._given}
        if len(headers) > 1:
            raise QMPError("vnet_hdr not consistent across given tap fds")
        for fd in self._given:
            tun.set_nonblocking(fd)
        name = _queried(self._given[0]).name
        tap = self._prepared(Tap(name, self._given, SHORT if headers.pop() else 0))
        self._given = []
        return tap

    def _prepared(self, tap: Tap) -> Tap:
        """Undo what an earlier user of the interface may have set, as QEMU does."""
        first = tap.queues[0]
        if tap.header_length:
            tun.set_header_length(first, tap.header_length)
        tun.set_offloads(first, 0)
        size = min(self.options.get("sndbuf", 0) or _MAX_SEND_BUFFER, _MAX_SEND_BUFFER)
        try:
            tun.set_send_buffer(first, size)
        except OSError as error:
            if "sndbuf" in self.options:  # the default is no promise
                raise QMPError(f"TUNSETSNDBUF ioctl failed: {error.strerror}") from error
        return tap


def _open_queue(name: str, multi_queue: bool, vnet_hdr: bool) -> tuple[Fd, str]:
    flags = tun.IFF_MULTI_QUEUE if multi_queue else 0
    flags |= tun.IFF_VNET_HDR if vnet_hdr else 0
    try:
        return tun.open_queue(name or _ANY_NAME, flags)
    except OSError as error:
        if error.filename is not None:
            raise QMPError(f"could not open {tun.PATH}: {error.strerror}") from error
        which = f" ({name})" if name else ""
        raise QMPError(f"could not configure {tun.PATH}{which}: {error.strerror}") from error


def _queried(fd: Fd) -> tun.Interface:
    try:
        return tun.interface(fd)
    except OSError as error:
        raise QMPError(
            f"Unable to query TUNGETIFF on FD {fd.fileno()}: {error.strerror}"
        ) from error


def _run_script(script: str, name: str) -> int:
    """Run a network script to its end, as QEMU does, and return its wait(2) status."""
    try:
        # A daemon keeps its signals pending for itself; a script must stay killable.
        pid = os.posix_spawn(script, [script, name], os.environ, setsigmask=())
    except OSError:
        return 1 << 8  # what a child that cannot execute it ends with in QEMU
    return os.waitpid(pid, 0)[1]
