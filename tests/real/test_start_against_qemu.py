"""What a client sees of a start that fails: the same of a real QEMU and of ours."""

import json
import re
import shutil
import socket
import subprocess
import sys

import pytest

from qemu_sim.qapi import profile

QEMU = shutil.which("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 to compare with")
TIMEOUT = 20


@pytest.fixture(scope="module")
def version():
    said = subprocess.run([QEMU, "-version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+\.\d+)", said)[1]
    if found not in profile.shipped():
        pytest.skip(f"no profile of QEMU {found} is shipped")
    return found


def _seen(command, tmp_path, *arguments):
    """Start a program that calls us; return whether it greeted, and its exit status."""
    path = str(tmp_path / "qmp")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(TIMEOUT)
        listener.bind(path)
        listener.listen(1)
        monitor = ["-chardev", f"socket,id=c0,path={path}", "-qmp", "chardev:c0"]
        program = [*command, "-nodefaults", "-display", "none", *monitor, *arguments]
        with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
            client, _ = listener.accept()
            client.settimeout(TIMEOUT)
            with client, client.makefile("rb") as lines:
                first, rest = lines.readline(), lines.read()
            process.wait(TIMEOUT)
    (tmp_path / "qmp").unlink()
    return "QMP" in json.loads(first or "{}"), rest, process.returncode


@pytest.mark.parametrize("device", ["nonsense", "virtio-net-pci,netdev=nobody"])
def test_a_client_is_greeted_before_a_device_fails(version, tmp_path, device):
    arguments = ["-machine", "q35", "-device", device]
    ours = [sys.executable, "-m", "qemu_sim", "-sim", f"profile={version}"]
    assert (
        _seen([QEMU], tmp_path, *arguments) == _seen(ours, tmp_path, *arguments) == (True, b"", 1)
    )
