"""Real libvirt starts and drives our daemon, as it would a QEMU.

A libvirtd of the test's own in session mode: nothing of the host's libvirt is touched. It
needs no root, and root has to become somebody else for it, in a user namespace.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

from qemu_sim.testing.listening import is_listening

PROGRAMS = ("libvirtd", "virsh")
# libvirt looks for emulators in PATH and asks each one it finds; these are to be left alone.
SYSTEM = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
SOMEBODY = ("/usr/bin/unshare", "--user", "--map-user=1", "--map-group=1", "--")
# Of a host name of its own: libvirt migrates to no host that is called like its own.
ELSEWHERE = ("/usr/bin/unshare", "--user", "--map-root-user", "--uts", "/bin/sh", "-c")
AS_ANOTHER_HOST = '/bin/hostname "$0" && exec "$@"'
SECONDS = 60
TOO_OLD = "this libvirt says 'detach' to 'migrate', which QEMU 11.1 does not know"

DOMAIN = """
<domain type='qemu'>
  <name>guest</name>
  <maxMemory slots='2' unit='MiB'>512</maxMemory>
  <memory unit='MiB'>64</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <vcpu current='2'>4</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <cpu><numa><cell id='0' cpus='0-3' memory='64' unit='MiB'/></numa></cpu>
  <on_poweroff>destroy</on_poweroff>
  <devices>
    <emulator>{emulator}</emulator>
    {disk}
  </devices>
</domain>
"""
DISK = """
    <disk type='vhostuser' device='disk'>
      <driver name='qemu' type='raw'/>
      <source type='unix' path='{path}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
"""


def _find(program):
    return shutil.which(program, path=os.pathsep.join(SYSTEM))


class Libvirt:
    """One libvirtd and its virsh; `home` holds all that they keep."""

    is_too_old = False  # as far as a test has found out

    def __init__(self, home, host="source"):
        self._home = home
        self._host = host
        self._run = home / "run"
        self._run.mkdir(mode=0o700)
        self.programs = home / "bin"
        self.programs.mkdir()
        if (qemu_img := _find("qemu-img")) is not None:  # libvirt looks for it when it starts
            (self.programs / "qemu-img").symlink_to(qemu_img)
        settings = home / ".config/libvirt"
        settings.mkdir(parents=True)
        (settings / "qemu.conf").write_text('security_driver = "none"\nstdio_handler = "file"\n')
        # A container has no DMI table to take this from.
        (settings / "libvirtd.conf").write_text(
            f'host_uuid = "{uuid.uuid5(uuid.NAMESPACE_DNS, host)}"\n'
        )
        self._become = SOMEBODY if os.geteuid() == 0 else ()
        self._start_as = (*ELSEWHERE, AS_ANOTHER_HOST, host, *SOMEBODY)
        self._environment = {
            "LC_ALL": "C",
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(self._run),
            "PATH": str(self.programs),
            "LIBVIRT_AUTOSTART": "0",
        }

    def add_emulator(self, name, *options):
        """Return a program that is qemu-sim with these options."""
        program = self.programs / name
        command = shlex.join([sys.executable, "-m", "qemu_sim", *options])
        # libvirt passes no PYTHONPATH on.
        path = shlex.quote(os.pathsep.join(filter(None, sys.path)))
        program.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {command} "$@"\n')
        program.chmod(0o755)
        return program

    def start(self):
        with open(self._home / "log", "ab") as log:
            self._daemon = subprocess.Popen(
                [*self._start_as, _find("libvirtd")],
                env=self._environment,
                stderr=log,
                cwd="/",
            )
        deadline = time.monotonic() + SECONDS
        while not is_listening(str(self._run / "libvirt/libvirt-sock")):
            assert self._daemon.poll() is None, (self._home / "log").read_text()
            assert time.monotonic() < deadline, (self._home / "log").read_text()
            time.sleep(0.02)

    def stop(self):
        """End libvirtd; domains go on."""
        self._daemon.terminate()
        self._daemon.wait(SECONDS)

    @property
    def uri(self):
        """Where another virsh finds this libvirtd."""
        return f"qemu+unix:///session?socket={self._run}/libvirt/libvirt-sock"

    def begin(self, *arguments):
        """Start virsh; the test waits for its end."""
        return subprocess.Popen(
            [*self._become, _find("virsh"), "-q", "-c", "qemu:///session", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def virsh(self, *arguments):
        process = self.begin(*arguments)
        output, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, errors
        return output.strip()

    def qmp(self, command, **arguments):
        """The answer of the domain's machine."""
        request = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(self.virsh("qemu-monitor-command", "guest", request))["return"]

    def moves_blocks(self):
        """Whether the disk's requests go on, without an error."""
        first = self.qmp("x-sim-query-guest")[0]["requests"]
        deadline = time.monotonic() + SECONDS
        while self.qmp("x-sim-query-guest")[0]["requests"] <= first:
            assert time.monotonic() < deadline
        return self.qmp("x-sim-query-guest")[0]["errors"] == 0

    @staticmethod
    @contextmanager
    def knowing_migrate():
        """Skip a test with a libvirt that is too old for QEMU 11.1: it could not drive that either."""
        try:
            yield
        except AssertionError as error:
            if "Parameter 'detach' is unexpected" not in str(error):
                raise
            Libvirt.is_too_old = True
            pytest.skip(TOO_OLD)

    def forget_guest(self):
        """Remove what a failed test has left."""
        for listed, removal in (((), "destroy"), (("--all",), "undefine")):
            if self.virsh("list", "--name", *listed):
                self.virsh(removal, "guest")

    def kill_guest(self):
        """End what is left when libvirtd cannot."""
        pidfile = self._run / "libvirt/qemu/run/guest.pid"
        if pidfile.exists():
            os.kill(int(pidfile.read_text()), signal.SIGKILL)


@contextmanager
def _running(host):
    """A libvirtd of that host name, or a skipped test."""
    missing = [program for program in PROGRAMS if _find(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} of libvirt not installed")
    may_be = os.path.exists(SOMEBODY[0]) and not subprocess.call([*SOMEBODY, "/bin/true"])
    if not may_be:
        pytest.skip("libvirt's session mode is not for root, and root can be nobody else here")
    # The path of a socket is short, that of a test's directory is not.
    with tempfile.TemporaryDirectory(prefix="lv") as home:
        libvirt = Libvirt(Path(home), host)
        try:
            libvirt.start()
            yield libvirt
        finally:
            libvirt.stop()
            libvirt.kill_guest()


@pytest.fixture(scope="session")
def daemon():
    with _running("source") as libvirt:
        yield libvirt


@pytest.fixture(scope="session")
def other():
    """Another libvirtd, as if on another host."""
    with _running("destination") as libvirt:
        yield libvirt


@pytest.fixture(scope="session", params=["7.2", "11.1"])
def emulator(daemon, request):
    """An emulator that libvirt asks once for all it can do: it looks at the file's time."""
    return daemon.add_emulator(f"sim-{request.param}", "-sim", f"profile={request.param}")


@pytest.fixture
def can_migrate(emulator):
    """Start no domain for a test that is going to be skipped, once one was."""
    if Libvirt.is_too_old and emulator.name == "sim-11.1":
        pytest.skip(TOO_OLD)


@pytest.fixture
def libvirt(daemon, emulator, tmp_path):
    """The daemon, and a way to define a domain with these devices."""

    def define(disk=""):
        description = tmp_path / "domain.xml"
        description.write_text(DOMAIN.format(emulator=emulator, disk=disk))
        daemon.virsh("define", str(description))

    daemon.define = define
    yield daemon
    daemon.forget_guest()


@pytest.fixture
def disk(make_disk):
    """The description of a disk that a server of ours has."""
    return DISK.format(path=make_disk().path)


@pytest.fixture
def busy(libvirt, disk):
    """A running domain whose guest writes to its disk."""
    libvirt.define(disk)
    libvirt.virsh("start", "guest")
    libvirt.qmp("x-sim-guest-io", device="virtio-disk0", enable=True, write=True)
    return libvirt
