"""qemu-sim, and Debian's real QEMU beside it, for clients that others wrote."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from qemu_sim.testing.listening import wait_for_listener

_START = 20.0  # seconds
_QEMU = "qemu-system-x86_64"
_PROFILES = ("11.1", "7.2")
_PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
_GO_PATH = "/usr/share/gocode"  # Debian's
_ARGV = ["-machine", "none", "-nodefaults", "-display", "none", "-name", "clients"]


class Emulator:
    """A running process with a monitor at `path`."""

    def __init__(self, command: list[str], path: str, environment: dict[str, str]) -> None:
        self.path = path
        monitor = ["-qmp", f"unix:{path},server=on,wait=off"]
        self.process = subprocess.Popen([*command, *_ARGV, *monitor], env=environment)
        wait_for_listener(path, _START)

    def stop(self, *more: int) -> None:
        """End it, unless a client has done so; `more` exit statuses than 0 may be fine."""
        self.process.terminate()
        assert self.process.wait(10) in (0, *more)


def _real_version() -> str | None:
    if shutil.which(_QEMU) is None:
        return None
    text = subprocess.run([_QEMU, "-version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"version (\d+\.\d+)", text)[1]


@pytest.fixture(scope="session")
def real_version():
    """Major and minor version of the real QEMU, None without one."""
    return _real_version()


@pytest.fixture
def our_command(real_version):
    """qemu-sim, as the QEMU it will be compared with if that was recorded."""
    profile = real_version if real_version in _PROFILES else _PROFILES[0]
    return [sys.executable, "-m", "qemu_sim", "-sim", f"profile={profile},extensions=off"]


@pytest.fixture
def commands(our_command, real_version):
    """The command lines of qemu-sim and, if there is one, the real QEMU."""
    return [our_command, *([[_QEMU]] if real_version in _PROFILES else [])]


@pytest.fixture
def ours(tmp_path, environment, our_command):
    """A running qemu-sim."""
    running = Emulator(our_command, str(tmp_path / "ours"), environment)
    yield running
    running.stop()


@pytest.fixture
def real(tmp_path, environment, real_version):
    """A real QEMU, or None where there is none that qemu-sim can be."""
    if real_version not in _PROFILES:
        yield None
        return
    running = Emulator([_QEMU], str(tmp_path / "real"), environment)
    yield running
    # Between listening and its signal handlers it simply dies.
    running.stop(-signal.SIGTERM)


@pytest.fixture
def emulators(ours, real):
    """All that run."""
    return [ours, *([real] if real is not None else [])]


@pytest.fixture
def environment(environment, tmp_path):
    """Clients leave histories, logs and folders in their home."""
    return {**environment, "HOME": str(tmp_path)}


@pytest.fixture(scope="session")
def go_program(tmp_path_factory):
    """Compile a Go program of `programs` that needs Debian's go-qemu."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    if not os.path.isdir(os.path.join(_GO_PATH, "src/github.com/digitalocean/go-qemu")):
        pytest.skip("golang-github-digitalocean-go-qemu-dev is not installed")
    built = tmp_path_factory.mktemp("go")
    own = {"GOPATH": _GO_PATH, "GO111MODULE": "off", "GOCACHE": str(built / "cache")}

    def build(name):
        program = str(built / name.removesuffix(".go"))
        source = os.path.join(_PROGRAMS, name)
        subprocess.run(
            ["go", "build", "-o", program, source], env={**os.environ, **own}, check=True
        )
        return program

    return build


@pytest.fixture
def node(environment):
    """Return the command and environment to run a Node.js program that needs qemu-qmp."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    modules = os.path.join(root, ".venv", "node_modules")
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not os.path.exists(os.path.join(modules, "qemu-qmp")):
        pytest.skip("qemu-qmp is not installed: npm install --prefix .venv qemu-qmp")
    return {**environment, "NODE_PATH": modules}
