"""A real QEMU that is asked about itself over QMP on its standard streams.

Blocking, with a time limit for each answer: it serves recording, not the daemon.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Sequence
from typing import Any, Self

from qemu_sim.errors import CommandNotFound, QMPError

_PATIENCE = 60.0  # seconds for one answer; introspection of a slow type takes under one


class EmulatorGone(Exception):
    """The program ended, or did not answer in time; the text has what it printed."""


class Emulator:
    """One running QEMU. `argv` holds the program and its options, without a monitor."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._program = argv[0]
        self._process = subprocess.Popen(  # noqa: S603 - the caller names the program to run
            [*argv, "-qmp", "stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._buffer = b""
        try:
            self.greeting: dict[str, Any] = self._receive()["QMP"]
            self.execute("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def execute(self, name: str, /, **arguments: Any) -> Any:
        """Run a command and return its result. Raises QMPError, EmulatorGone."""
        return self.execute_with(name, arguments)

    def execute_with(self, name: str, arguments: dict[str, Any]) -> Any:
        """Run a command whose arguments' names are no Python names."""
        request = json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone(name) from None
        while "event" in (reply := self._receive(name)):
            pass
        if "error" in reply:
            error = reply["error"]
            kind = CommandNotFound if error["class"] == CommandNotFound.class_ else QMPError
            raise kind(error["desc"])
        return reply["return"]

    def _receive(self, asked: str = "start") -> dict[str, Any]:
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([output], [], [], _PATIENCE)
            data = os.read(output, 1 << 20) if ready else b""
            if not data:
                raise self._gone(asked)
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        value: dict[str, Any] = json.loads(line)
        return value

    def _gone(self, asked: str) -> EmulatorGone:
        self._process.kill()
        _, printed = self._process.communicate()
        text = printed.decode(errors="replace").strip()
        return EmulatorGone(f"{self._program} gave no answer to {asked}: {text}")

    def close(self) -> None:
        """End the program and wait for it."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
