"""An emulator started and talked to as QEMU's own test programs do it (libqtest.c)."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

TIMEOUT = 50.0  # seconds, libqtest's
STUB = f'#!/bin/sh\nexec {sys.executable} -P -m qemu_sim "$@"\n'


class Emulator:
    """One process, its qtest socket and its QMP socket; both are listened on here."""

    def __init__(self, program, folder, arguments):
        self.events = []
        paths = [os.path.join(folder, name) for name in ("qtest.sock", "qtest.qmp")]
        listeners = [socket.socket(socket.AF_UNIX) for _ in paths]
        for listener, path in zip(listeners, paths, strict=True):
            listener.settimeout(TIMEOUT)
            listener.bind(path)
            listener.listen(1)
        line = (
            f"exec {program} -qtest unix:{paths[0]} -qtest-log /dev/null"
            f" -chardev socket,path={paths[1]},id=char0 -mon chardev=char0,mode=control"
            f" -display none -audio none -run-with exit-with-parent=on {arguments} -accel qtest"
        )
        self.process = subprocess.Popen(["/bin/sh", "-c", line], stderr=subprocess.PIPE)
        try:
            self._qtest, self._qmp = (listener.accept()[0] for listener in listeners)
        except TimeoutError:
            self.process.kill()
            raise AssertionError(self.process.communicate()[1].decode()) from None
        finally:
            for listener, path in zip(listeners, paths, strict=True):
                listener.close()
                os.unlink(path)
        for sock in (self._qtest, self._qmp):
            sock.settimeout(TIMEOUT)
        self._lines = self._qtest.makefile("r", newline="\n")

    def script(self, line):
        """Send one qtest command; return its answer."""
        self._qtest.sendall(f"{line}\n".encode())
        return self._lines.readline().rstrip("\n")

    def raw(self, data):
        """Send bytes to QMP."""
        self._qmp.sendall(data)

    def message(self):
        """Receive one line, reading a byte at a time as libqtest does; it is one JSON object."""
        text = bytearray()
        while not text.endswith(b"\r\n"):
            byte = self._qmp.recv(1)
            assert byte, "end of file from the emulator"
            text += byte
        value = json.loads(text)
        assert isinstance(value, dict)
        return value

    def receive(self):
        """Return the next message that is no event; events are kept."""
        while "event" in (message := self.message()):
            self.events.append(message)
        return message

    def wait_event(self, name):
        """Return when an event of that name has come."""
        while not any(event["event"] == name for event in self.events):
            message = self.message()
            assert "event" in message, message
            self.events.append(message)

    def send(self, request):
        """Send one request as one JSON value and a newline."""
        self.raw(json.dumps(request).encode() + b"\n")

    def ask(self, request):
        """Send one request; return the answer."""
        self.send(request)
        return self.receive()

    def execute(self, name, **arguments):
        """Run a command; return the answer."""
        request = {"execute": name}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): arguments[key] for key in arguments}
        return self.ask(request)

    def negotiate(self):
        """Take the greeting and leave negotiation, as every other program does first."""
        assert self.script("endianness") == "OK little"
        greeting = self.message()
        assert "QMP" in greeting
        assert self.execute("qmp_capabilities") == {"return": {}}
        return self

    def end(self):
        """End the process as libqtest does; it must exit by itself with status 0."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        for part in (self._lines, self._qtest, self._qmp, self.process.stderr):
            part.close()
        assert status == 0

    def wait_end(self):
        """Wait until the process has ended by itself."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline and self._qmp.recv(4096):
            pass
        return self.process.wait(TIMEOUT)


@pytest.fixture
def folder():
    """A short path: a unix socket's name has 107 bytes."""
    path = tempfile.mkdtemp(prefix="qtest-")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start(folder):
    """Start emulators: start("-machine none"). All are ended as libqtest ends them."""
    program = os.path.join(folder, "qemu-system-x86_64")
    with open(program, "w") as file:
        file.write(STUB)
    os.chmod(program, 0o755)
    started = []

    def start(arguments):
        started.append(Emulator(program, folder, arguments))
        return started[-1]

    yield start
    for emulator in started:
        emulator.end()
