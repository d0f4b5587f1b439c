"""The world outside the machines: who pings the NIC, and who serves the disk.

Neither knows that the machine behind it changes process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

from qemu_sim.fds import open_descriptors
from qemu_sim.testing import ping
from qemu_sim.testing.listening import wait_for_listener

GUEST = "10.0.0.2"
_INTERVAL = 0.002  # seconds between two pings
_MOST = 30_000  # pings; SIGTERM ends them earlier
_IMAGE_SIZE = 64 << 20
_STORAGE_DAEMON = "qemu-storage-daemon"


class Process:
    """A child that Ctrl-C does not reach: who presses it wants the demo to end in order."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0)

    @property
    def pid(self):
        return self._process.pid

    def finish(self) -> bytes:
        """Ask it to end, and return what it printed."""
        self._process.terminate()
        output, _ = self._process.communicate(timeout=5)
        return output

    def close(self) -> None:
        """Make sure that it is gone."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()


class Pinging(Process):
    """The kernel's own stack sends echo requests into the TAP."""

    def __init__(self) -> None:
        super().__init__(*ping.command(GUEST, _MOST, _INTERVAL))

    def counts(self):
        """Send no more; return how many packets were sent, received, doubled and spoilt."""
        return json.loads(self.finish())


class DiskServer(Process):
    """Serves an image over vhost-user: QEMU's own server if there is one, else ours."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "disk.sock")
        self._image = os.path.join(directory, "disk.image")
        self._log = os.path.join(directory, "disk.log")
        with open(self._image, "wb") as image:
            image.truncate(_IMAGE_SIZE)
        self.keeps_log = shutil.which(_STORAGE_DAEMON) is None
        super().__init__(*(self._ours() if self.keeps_log else self._qemus()))
        wait_for_listener(self.path, within=10)

    @property
    def name(self):
        return "qemu-sim vhost-user-blk" if self.keeps_log else _STORAGE_DAEMON

    def messages(self, since: int, until: int):
        """Count what clients said or did between two monotonic times in nanoseconds."""
        with open(self._log) as lines:
            times = [json.loads(line)["time"] for line in lines]
        return sum(since <= time <= until for time in times)

    def sockets(self):
        """Name its sockets, the listener and one for each connection: socket:[inode]."""
        found = open_descriptors(self.pid).values()
        return sorted(target for target in found if target.startswith("socket:"))

    def _ours(self):
        program = [sys.executable, "-m", "qemu_sim", "vhost-user-blk"]
        return [*program, "--socket", self.path, "--image", self._image, "--log", self._log]

    def _qemus(self):
        export = "type=vhost-user-blk,id=disk,node-name=image,writable=on,num-queues=4"
        return [
            _STORAGE_DAEMON,
            f"--blockdev=driver=file,node-name=image,filename={self._image}",
            f"--export={export},addr.type=unix,addr.path={self.path}",
        ]
