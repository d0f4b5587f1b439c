"""Programs that people type into, at qemu-sim and at a real QEMU: what they show is compared."""

from __future__ import annotations

import importlib.util
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time

import pytest

LIMIT = 30.0  # seconds
TYPED = """query-name
stop
query-status
object-add qom-type=memory-backend-ram id=m0 size=1048576
qom-list path=/objects
device_del id=nope
no-such-command
query-name surprise=1
cont
query-status
"""
_VARYING = (
    r"'(micro)?seconds': \d+",
    r'"(micro)?seconds": \d+',
    r"Connected to QEMU \S+",
    r"-\d+\b",
)


def program(name):
    """The client's executable, beside the interpreter that runs the tests."""
    path = os.path.join(os.path.dirname(sys.executable), name)
    if not os.path.exists(path):
        pytest.skip(f"{name} is not installed")
    return path


def shown(text):
    """What a shell has shown, without what differs from run to run."""
    for pattern in _VARYING:
        text = re.sub(pattern, "…", text)
    return text


def talk(command, typed, *, check=True, **options):
    done = subprocess.run(
        command, input=typed, capture_output=True, text=True, timeout=LIMIT, check=check, **options
    )
    return shown(done.stdout)


def compare(command, typed, ours, real, environment):
    """Type into a client that takes the address last; return what it shows."""
    text = talk([*command, ours.path], typed, env=environment)
    if real is not None:
        assert talk([*command, real.path], typed, env=environment) == text
    return text


@pytest.mark.parametrize("options", [[], ["-p"], ["-v"]])
def test_qmp_shell(options, ours, real, environment):
    text = compare([program("qmp-shell"), *options], TYPED, ours, real, environment)
    assert "Welcome to the QMP low-level shell!" in text
    assert "Device 'nope' not found" in text
    assert text.count("CommandNotFound") == 1


def test_qmp_shell_wrap(commands, environment, tmp_path):
    """The shell listens, and what it starts connects to it."""
    shell = program("qmp-shell-wrap")
    machine = ["-machine", "none", "-nodefaults", "-display", "none"]
    texts = [
        talk(
            [shell, "--", *command, *machine],
            "query-status\nquery-name surprise=1\nstop\nquit\n",
            env=environment,
            cwd=tmp_path,
            check=False,  # it takes a machine that is faster than itself for an error
        )
        for command in commands
    ]
    assert '"status": "running"' in texts[0]
    assert texts[0].count('"return"') == 3
    assert texts == texts[:1] * len(commands)


@pytest.mark.skipif(shutil.which("socat") is None, reason="socat is not installed")
def test_socat(ours, real, environment):
    """Nothing but bytes, so these are compared."""
    typed = '{"execute":"qmp_capabilities"}{"execute":"query-name"} {"execute":"stop","id":[1]}\n'
    typed += '{"execute":"query-status"}\n@{"execute":"cont"}{]{"execute":"query-commands"}\n'
    # After the end of the input, wait that long for answers.
    command = ["socat", "-t", "2", "-"]
    text = talk([*command, f"UNIX-CONNECT:{ours.path}"], typed, env=environment)
    assert "stray '@'" in text
    assert "RESUME" in text
    if real is not None:
        there = talk([*command, f"UNIX-CONNECT:{real.path}"], typed, env=environment)
        assert there.splitlines()[1:] == text.splitlines()[1:]


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, command, environment):
        self.shown = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            termios.tcsetwinsize(0, (40, 120))
            os.execvpe(command[0], command, {**environment, "TERM": "xterm"})
        os.set_inheritable(self._fd, False)  # or the next program keeps it open

    def type(self, text):
        os.write(self._fd, text.encode())

    def read_until(self, text, nudge=""):
        """Wait until `text` is shown; some programs draw only when a key is pressed: `nudge`."""
        deadline = time.monotonic() + LIMIT
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self._fd], [], [], 0.1)[0]:
                self.shown += os.read(self._fd, 65536).decode(errors="replace")
            else:
                self.type(nudge)

    def close(self):
        os.close(self._fd)  # hangs up
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(environment):
    made = []

    def start(*command):
        made.append(Terminal(command, environment))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_completion(emulators, terminal):
    """qmp-shell knows the commands because it has asked for them."""
    for emulator in emulators:
        shell = terminal(program("qmp-shell"), emulator.path)
        shell.read_until("(QEMU) ")
        shell.type("query-nam\t\n")
        shell.read_until('"clients"')
        shell.type("query-migrate-ca\t\n")
        shell.read_until("query-migrate-capabilities")
        shell.read_until('"xbzrle"')


def test_qmp_tui(emulators, terminal):
    """It shows the greeting, and the answer to its own negotiation."""
    # Found and not imported: its warnings are not ours to bear.
    if importlib.util.find_spec("urwid_readline") is None:
        pytest.skip("urwid is not installed: pip install 'qemu.qmp[tui]'")
    for emulator in emulators:
        tui = terminal(program("qmp-tui"), emulator.path)
        tui.read_until("└")
        tui.read_until('"oob"', nudge=" ")
        tui.read_until('"return"', nudge=" ")
