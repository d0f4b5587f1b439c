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
def ours(tmp_path, environment, real_version):
    """qemu-sim, as the QEMU it will be compared with if that was recorded."""
    profile = real_version if real_version == "7.2" else "11.1"
    settings = ["-sim", f"profile={profile},extensions=off"]
    path = str(tmp_path / "ours")
    running = Emulator([sys.executable, "-m", "qemu_sim", *settings], path, environment)
    yield running
    running.stop()


@pytest.fixture
def real(tmp_path, environment, real_version):
    """A real QEMU, or None where there is none that qemu-sim can be."""
    if real_version not in ("7.2", "11.1"):
        yield None
        return
    running = Emulator([_QEMU], str(tmp_path / "real"), environment)
    yield running
    # Between listening and its signal handlers it simply dies.
    running.stop(-signal.SIGTERM)


@pytest.fixture
def environment(environment, tmp_path):
    """Clients leave histories, logs and folders in their home."""
    return {**environment, "HOME": str(tmp_path)}


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
