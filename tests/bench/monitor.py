"""A blocking QMP connection that costs as little as it can, for any program with QMP."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess

TIMEOUT = 20  # seconds


class Listener:
    """Machines call here: nobody has to poll until a socket exists."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._count = 0

    def arguments(self) -> list[str]:
        """Return the options that make the next machine call."""
        self._count += 1
        path = os.path.join(self._directory, f"{self._count}.sock")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT)
        self._socket.bind(path)
        self._socket.listen(1)
        self._path = path
        return ["-chardev", f"socket,id=bench,path={path}", "-qmp", "chardev:bench"]

    def accept(self) -> Monitor:
        with self._socket:
            sock, _ = self._socket.accept()
        os.unlink(self._path)
        # The kernel's own timeout: Python's has every call poll first, and to fall asleep in a
        # poll and be woken takes longer than what is measured.
        limit = struct.pack("@ll", TIMEOUT, 0)  # struct timeval
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        return Monitor(sock)


class Monitor:
    """One connection; made, it has read the greeting."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.events: list[dict] = []
        self._lines = sock.makefile("rb")
        self.greeting = json.loads(self._lines.readline())

    def negotiate(self) -> None:
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments):
        names = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.sock.sendall(json.dumps({"execute": command, "arguments": names}).encode())
        while True:
            message = self._next()
            if "error" in message:
                raise RuntimeError(f"{command}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]

    def next_event(self, name: str) -> dict:
        """Return the data of the next such event; other events are forgotten."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] == name:
                    return event.get("data", {})
            self._next()

    def close(self) -> None:
        self._lines.close()
        self.sock.close()

    def _next(self) -> dict:
        line = self._lines.readline()
        if not line:
            raise RuntimeError("the machine has ended")
        message = json.loads(line)
        if "event" in message:
            self.events.append(message)
        return message


def spawn(command: list[str], listener: Listener) -> tuple[subprocess.Popen, Monitor]:
    """Start a program with a machine's command line and return when it has greeted."""
    process = subprocess.Popen([*command, *listener.arguments()])
    return process, listener.accept()
