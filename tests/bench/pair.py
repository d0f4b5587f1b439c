"""Two processes that hand one machine's backends to each other, over and over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack

from monitor import Listener, Monitor, spawn

_WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")
_EVENTS = [{"capability": "events", "state": True}]


class Worker:
    """One of the two processes. It runs at most one machine at a time."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._process = subprocess.Popen(
            [sys.executable, _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, argv: list[str]) -> Monitor:
        self._write(json.dumps([*argv, *self._listener.arguments()]))
        monitor = self._listener.accept()
        monitor.negotiate()
        monitor.execute("migrate-set-capabilities", capabilities=_EVENTS)
        return monitor

    def end(self, monitor: Monitor) -> None:
        monitor.execute("quit")
        monitor.close()
        assert self._read() == "ended"

    def census(self) -> dict:
        self._write("census")
        return self._read()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _write(self, line: str) -> None:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self):
        return json.loads(self._process.stdout.readline())


class Pair:
    """A machine, and the two processes it goes to and fro between."""

    def __init__(self, listener: Listener, directory: str, argv: list[str], prepare) -> None:
        """`prepare(monitor)` is called once the first machine runs."""
        self._uri = f"unix:{os.path.join(directory, 'migration.sock')}"
        self._argv = argv
        self._here, self._there = Worker(listener), Worker(listener)
        self._prepare = prepare
        self._machine = self._here.start(argv)
        prepare(self._machine)

    def hand_over(self) -> tuple[float, float]:
        """Move to the other process; returns blackout and whole migration, in seconds."""
        destination = self._there.start([*self._argv, "-incoming", "defer"])
        blackout, whole = migrate(self._machine, destination, self._uri, backend_transfer=True)
        self._here.end(self._machine)
        self._here, self._there, self._machine = self._there, self._here, destination
        return blackout, whole

    def census(self) -> list[dict]:
        """Count what both processes have, with no machine in them."""
        self._here.end(self._machine)
        counts = [self._here.census(), self._there.census()]
        self._machine = self._here.start(self._argv)
        self._prepare(self._machine)
        return counts

    def close(self) -> None:
        self._here.close()
        self._there.close()


def hand_overs(directory, argv, count, prepare=lambda _: None) -> list[tuple[float, float]]:
    """Hand over `count` times; return blackout and whole migration of each, in seconds."""
    with ExitStack() as stack:
        pair = Pair(Listener(directory), directory, argv, prepare)
        stack.callback(pair.close)
        return [pair.hand_over() for _ in range(count)]


def migrate_once(stack, listener, directory, command, argv, *, transfer) -> tuple[float, float]:
    """Migrate from one new process to another; they end with `stack`."""
    ends = []
    for more in ([], ["-incoming", "defer"]):
        process, monitor = spawn([*command, *argv, *more], listener)
        stack.callback(process.wait)
        stack.callback(process.kill)
        stack.callback(monitor.close)
        monitor.negotiate()
        monitor.execute("migrate-set-capabilities", capabilities=_EVENTS)
        ends.append(monitor)
    arguments = {"backend_transfer": True} if transfer else {}
    return migrate(*ends, f"unix:{os.path.join(directory, 'once.sock')}", **arguments)


def migrate(source: Monitor, destination: Monitor, uri: str, **arguments) -> tuple[float, float]:
    """Return blackout (0 without a hand-over) and the time from command to event, in seconds."""
    destination.execute("migrate-incoming", uri=uri)
    source.events.clear()
    begun = time.perf_counter()
    source.execute("migrate", uri=uri, **arguments)
    _wait_completed(source)
    whole = time.perf_counter() - begun
    _wait_completed(destination)
    report = source.execute("query-migrate").get("backend-transfer", {})
    return report.get("blackout-us", 0) / 1e6, whole


def _wait_completed(machine: Monitor) -> None:
    while (status := machine.next_event("MIGRATION")["status"]) != "completed":
        if status in ("failed", "cancelled"):
            raise RuntimeError(machine.execute("query-migrate").get("error-desc", status))
