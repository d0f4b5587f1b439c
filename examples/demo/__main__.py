"""Two daemons, one NIC, one disk: both change process while they are in use.

Run it with `make demo`. Everything here uses the same public parts that a test would:
`qemu_sim.testing`, QMP, and the kernel.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import tempfile
import time

import report
from evidence import opens_tap, shared_files
from outside import GUEST, DiskServer, Pinging

from qemu_sim.testing import netns
from qemu_sim.testing.factory import MachineFactory

_LIMIT = 30  # seconds for all of it
_A_WHILE = 1.0  # seconds of traffic before and after the move
_HOST = "10.0.0.1/24"
_QUEUES = 4
_RAM = [
    *("-machine", "q35,memory-backend=ram", "-m", "64M"),
    *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
]
_NIC = [
    *("-netdev", f"tap,id=net0,ifname=tap0,queues={_QUEUES},script=no,downscript=no"),
    *("-device", "virtio-net-pci,id=nic0,netdev=net0,mq=on"),
]


def say(text: str) -> None:
    """Tell what happens, as it happens."""
    print(text, flush=True)  # noqa: T201 - talking is what a demo is for


def main() -> int:
    """Return the exit status: 0 if everything was as promised."""
    _end_in_order()
    try:
        with contextlib.ExitStack() as stack:
            return Demo(stack, has_tap=_enter_namespace()).run()
    except KeyboardInterrupt:
        say("\nInterrupted. Nothing is left behind.")
        return 130


class Demo:
    """The story. What it starts is ended by `stack`, whatever happens."""

    def __init__(self, stack: contextlib.ExitStack, *, has_tap: bool) -> None:
        self._stack = stack
        self._has_tap = has_tap
        self._directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="qemu-sim-"))
        self._make = MachineFactory(self._directory, "daemon")
        stack.callback(self._make.close)

    def run(self) -> int:
        self._serve_disk()
        self._start_source()
        self._start_traffic()
        self._start_destination()
        self._move()
        self._kill_source()
        return self._conclude()

    def _serve_disk(self) -> None:
        self.server = DiskServer(self._directory)
        self._stack.callback(self.server.close)
        say(f"A disk is served over vhost-user by {self.server.name} (process {self.server.pid}).")

    def _start_source(self) -> None:
        argv = self._argv()
        say("The source starts, with the command line that QEMU would get:")
        say(f"  qemu-sim {shlex.join(argv)}")
        self.source = self._make(*argv, name="source")
        say(f"  It runs as process {self.source.pid}, and has connected to the server.")
        if self._has_tap:
            netns.up("tap0", _HOST)
            say(f"  It has opened tap0 with {_QUEUES} queues; the host's end is {_HOST}.")

    def _start_traffic(self) -> None:
        if self._has_tap:
            self.pinging = Pinging()
            self._stack.callback(self.pinging.close)
            say(f"The host's kernel pings the guest at {GUEST}, 500 times a second.")
        self.source.execute(
            "x-sim-guest-io", device="disk0", enable=True, queue_depth=8, write=True
        )
        say("The guest writes blocks to its disk, reads each back and compares every byte.")
        time.sleep(_A_WHILE)

    def _start_destination(self) -> None:
        sockets = self.server.sockets()
        self.destination = self._make(*self._argv(), "-incoming", "defer", name="destination")
        say(
            f"The destination starts as process {self.destination.pid}: the same command line, "
            "and -incoming defer."
        )
        assert not opens_tap(self.destination.pid)
        assert sockets == self.server.sockets()
        say("  It has opened no TAP and not called the server: it waits to be handed both.")

    def _move(self) -> None:
        # Once it runs, the destination keeps the good news to itself, so that both
        # processes have the descriptors for as long as the kernel takes to compare them.
        self.destination.hold("started")
        sockets, begun = self.server.sockets(), time.monotonic_ns()
        say("The source is told to migrate, with backend-transfer:")
        migration = self.source.start_migration(self.destination)
        self.destination.wait_held("started")
        say("  The destination runs the guest, on descriptors that came over the channel.")
        self.shared = shared_files(self.source.pid, self.destination.pid)
        say("  The kernel has compared the open files of both processes.")
        self.destination.release()
        self.outcome = migration.wait()
        self.messages = self._messages(begun)
        self.same_connection = sockets == self.server.sockets()
        say(
            f"  Source: {self._status(self.source)}, destination: {self._status(self.destination)}."
        )

    def _kill_source(self) -> None:
        self.status = self.source.kill()
        self.requests_before = self._disk().requests
        say("The source is killed (SIGKILL). The guest goes on for a while without it.")
        time.sleep(_A_WHILE)
        self.requests_after = self._disk().requests

    def _conclude(self) -> int:
        columns = [self._disk_column(), self._ram_column()]
        if self._has_tap:
            columns.insert(0, self._nic_column())
        say(f"\n{report.table(columns)}\n")
        complaints = [text for column in columns for text in column.complaints()]
        if not self.same_connection:
            complaints.append("disk0: the server has other connections than before")
        for text in complaints:
            say(f"NOT as promised: {text}")
        if not complaints:
            say("Nothing lost, nothing opened again, and nobody outside has noticed.")
        return 1 if complaints else 0

    def _nic_column(self):
        pings = self.pinging.counts()
        moved = self.outcome.source.devices["nic0"]
        return report.Column(
            device="nic0",
            backend=f"tap, {_QUEUES} queues",
            other_end="Linux",
            descriptors=moved.fds,
            same_files=self._same("nic0"),
            blackout_us=moved.blackout_us,
            traffic="ping packets",
            done=pings["received"],
            wrong=pings["sent"] - pings["received"] + pings["duplicates"] + pings["spoilt"],
            longest_wait_us=pings["rtt-max-us"],
            goes_on=pings["received"] == pings["sent"],
        )

    def _disk_column(self):
        disk = self._stop_disk()
        moved = self.outcome.source.devices["disk0"]
        return report.Column(
            device="disk0",
            backend="vhost-user-blk",
            other_end=self.server.name,
            descriptors=moved.fds,
            same_files=self._same("disk0"),
            blackout_us=moved.blackout_us,
            traffic="blocks written, read, compared",
            done=disk.requests // 2,
            wrong=disk.errors,
            longest_wait_us=disk.largest_gap_us,
            messages=self.messages,
            goes_on=self.requests_after > self.requests_before,
        )

    def _ram_column(self):
        return report.Column(
            "guest RAM", "memfd, 64 MiB", "disk0's server", 1, self._same("guest RAM")
        )

    def _same(self, device: str):
        return None if self.shared is None else self.shared[device]

    def _messages(self, begun: int):
        if not self.server.keeps_log:
            return "not counted"
        return self.server.messages(begun, time.monotonic_ns())

    def _stop_disk(self):
        """End the load; what is under way is still read back."""
        self.destination.execute("x-sim-guest-io", device="disk0", enable=False)
        while self._disk().inflight:
            time.sleep(0.001)
        return self._disk()

    def _disk(self):
        return self.destination.query_guest()["disk0"]

    def _status(self, machine) -> str:
        return machine.execute("query-status")["status"]

    def _argv(self):
        disk = [
            *("-chardev", f"socket,id=char0,path={self.server.path}"),
            *("-device", "vhost-user-blk-pci,id=disk0,chardev=char0"),
        ]
        return [*_RAM, *(_NIC if self._has_tap else ()), *disk]


def _enter_namespace() -> bool:
    """Move to a network namespace of our own; returns whether a TAP can be had there."""
    obstacle = netns.why_not()
    if obstacle is not None:
        say(f"This machine allows no TAP to us ({obstacle}), so there is a disk only.")
        return False
    netns.become_root()
    say("This process and its children move to a network namespace of their own.")
    return True


def _end_in_order() -> None:
    """Let signals and the time limit unwind the stack, as an error would."""

    def end(number: int, _) -> None:
        sys.exit(f"ended by {signal.Signals(number).name}")

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, end)
    signal.alarm(_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
