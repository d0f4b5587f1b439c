"""The same block commands to a real QEMU and to qemu-sim: the same bytes must come back.

Made-up names (#block123), times and sizes on the host's disk may differ; nothing else.
"""

import json
import os
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
QEMU_IMG = shutil.which("qemu-img")
QEMU_IO = shutil.which("qemu-io")  # of the same package
pytestmark = [
    pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed"),
    pytest.mark.skipif(QEMU_IMG is None, reason="no qemu-img is installed"),
]

MACHINE = ("-S", "-nodefaults", "-display", "none", "-machine", "q35", "-qmp", "stdio")
DEVICES = (
    *("-device", "pcie-root-port,id=rp0,chassis=1", "-device", "virtio-scsi-pci,id=sc0"),
    *("-blockdev", "raw,node-name=cd,read-only=on,file.driver=null-co"),
    *("-device", "ide-cd,drive=cd,id=cd0", "-drive", "if=none,id=drv0,file=@/base.qcow2"),
)
PASSING = "seconds|microseconds|actual-size|date-n?sec|vm-clock-n?sec"
QUIET = 0.1  # seconds without a message after which a job has come to rest

NODES = r"""
blockdev-add {"driver": "null-co"}
blockdev-add {"driver": "null-co", "node-name": "n0", "read-zeroes": true}
blockdev-add {"driver": "null-co", "node-name": "n0"}
blockdev-add {"driver": "null-aio", "node-name": "n1", "size": 512}
blockdev-add {"driver": "null-co", "node-name": "#x"}
object-add {"qom-type": "throttle-group", "id": "tg0", "limits": {"iops-total": 100}}
blockdev-add {"driver": "throttle", "node-name": "t0", "throttle-group": "tg0", "file": "n0"}
blockdev-add {"driver": "throttle", "node-name": "t1", "throttle-group": "nope", "file": "n0"}
blockdev-add {"driver": "copy-on-read", "node-name": "c0", "file": "n0"}
blockdev-add {"driver": "blkdebug", "node-name": "d0", "image": "n0"}
blockdev-add {"driver": "file", "node-name": "f1", "filename": "@/nope"}
blockdev-add {"driver": "file", "node-name": "f1", "filename": "@"}
blockdev-add {"driver": "file", "node-name": "f0", "filename": "@/raw.img"}
blockdev-add {"driver": "raw", "node-name": "r0", "file": "f0"}
blockdev-add {"driver": "raw", "node-name": "r1", "offset": 512, "size": 1024, "file": "f0"}
blockdev-add {"driver": "raw", "node-name": "r2", "offset": 9999999, "file": "f0"}
blockdev-add {"driver": "qcow2", "node-name": "q0", "file": {"driver": "null-co"}}
blockdev-add {"driver": "qcow2", "node-name": "q1", "file": {"driver": "file", "filename": "@/top.qcow2", "node-name": "q1f"}}
query-named-block-nodes
query-named-block-nodes {"flat": true}
query-blockstats {"query-nodes": true}
block_resize {"node-name": "n0", "size": 1024}
block_resize {"node-name": "q1", "size": 20971520}
block_resize {"node-name": "q1", "size": 5}
block_resize {"size": 5}
block-set-write-threshold {"node-name": "q1", "write-threshold": 5}
blockdev-del {"node-name": "q1f"}
blockdev-del {"node-name": "n0"}
blockdev-del {"node-name": "nope"}
blockdev-reopen {"options": [{"driver": "raw", "node-name": "r0", "file": "f0", "discard": "unmap"}]}
blockdev-reopen {"options": [{"driver": "null-co", "node-name": "r0"}]}
query-named-block-nodes {"flat": true}
"""

JOBS = r"""
blockdev-create {"job-id": "j0", "options": {"driver": "file", "filename": "@/new", "size": 0}}
query-jobs
job-dismiss {"id": "j0"}
blockdev-add {"driver": "file", "node-name": "nf", "filename": "@/new"}
blockdev-create {"job-id": "j1", "options": {"driver": "qcow2", "file": "nf", "size": 1048576, "backing-file": "@/base.qcow2", "backing-fmt": "qcow2"}}
job-dismiss {"id": "j1"}
blockdev-create {"job-id": "j2", "options": {"driver": "null-co"}}
blockdev-create {"job-id": "1x", "options": {"driver": "file", "filename": "@/x", "size": 0}}
blockdev-add {"driver": "qcow2", "node-name": "q", "file": "nf"}
blockdev-add {"driver": "raw", "node-name": "src", "file": {"driver": "file", "filename": "@/raw.img"}}
blockdev-add {"driver": "raw", "node-name": "dst", "file": {"driver": "file", "filename": "@/copy.img"}}
blockdev-mirror {"job-id": "m0", "device": "src", "target": "dst", "sync": "full", "auto-dismiss": false}
cont
stop
query-block-jobs
job-complete {"id": "m0"}
query-jobs
job-dismiss {"id": "m0"}
blockdev-mirror {"job-id": "m1", "device": "src", "target": "dst", "sync": "full"}
block-job-cancel {"device": "m1", "force": true}
blockdev-mirror {"job-id": "m2", "device": "src", "target": "dst", "sync": "full", "replaces": "nope"}
blockdev-mirror {"job-id": "m2", "device": "src", "target": "dst", "sync": "full", "replaces": "src"}
block-job-cancel {"device": "m2", "force": true}
blockdev-backup {"job-id": "b0", "device": "src", "target": "dst", "sync": "full", "auto-finalize": false}
job-complete {"id": "b0"}
job-finalize {"id": "b0"}
block-stream {"job-id": "s0", "device": "q"}
block-commit {"job-id": "c0", "device": "q"}
block-job-cancel {"device": "zz"}
job-pause {"id": "zz"}
transaction {"actions": [{"type": "block-dirty-bitmap-add", "data": {"node": "src", "name": "t"}}, {"type": "abort", "data": {}}]}
query-named-block-nodes {"flat": true}
"""

DRIVES = r"""
query-block
query-blockstats
device_add {"driver": "virtio-blk-pci", "id": "d0", "bus": "rp0"}
device_add {"driver": "virtio-blk-pci", "id": "d0", "bus": "rp0", "drive": "nope"}
device_add {"driver": "scsi-hd", "id": "d0", "drive": "nope"}
blockdev-add {"driver": "null-co", "node-name": "n0"}
device_add {"driver": "scsi-hd", "id": "d0", "drive": "n0", "bus": "ide.0"}
device_add {"driver": "ide-hd", "id": "d0", "drive": "n0"}
device_add {"driver": "scsi-hd", "id": "d0", "drive": "n0"}
device_add {"driver": "scsi-hd", "id": "d1", "drive": "n0"}
device_add {"driver": "virtio-blk-pci", "id": "d2", "drive": "drv0", "bus": "rp0"}
query-block
blockdev-del {"node-name": "n0"}
block_set_io_throttle {"id": "d0", "bps": 1000, "bps_rd": 5, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}
block_set_io_throttle {"id": "d0", "bps": 1000, "bps_rd": 0, "bps_wr": 0, "iops": 9, "iops_rd": 0, "iops_wr": 0, "bps_max": 5000}
query-block
device_del {"id": "d0"}
eject {"device": "drv0"}
eject {"id": "nope"}
eject {"id": "cd0"}
blockdev-insert-medium {"id": "cd0", "node-name": "nope"}
blockdev-insert-medium {"id": "cd0", "node-name": "n0"}
blockdev-close-tray {"id": "cd0"}
blockdev-remove-medium {"id": "cd0"}
query-block
"""

FILES = r"""
blockdev-add {"driver": "qcow2", "node-name": "q", "file": {"driver": "file", "filename": "@/alone.qcow2"}}
blockdev-add {"driver": "raw", "node-name": "src", "file": {"driver": "file", "filename": "@/raw.img"}}
blockdev-snapshot-sync {"device": "q", "snapshot-file": "@/s1"}
blockdev-snapshot-sync {"node-name": "q", "snapshot-file": "@/s1"}
blockdev-snapshot-sync {"node-name": "q", "snapshot-file": "@/s1", "snapshot-node-name": "src"}
blockdev-snapshot-sync {"node-name": "q", "snapshot-file": "/no/s1", "snapshot-node-name": "s1"}
blockdev-snapshot-sync {"node-name": "q", "snapshot-file": "@/s1", "snapshot-node-name": "s1", "format": "raw"}
blockdev-snapshot-sync {"node-name": "q", "snapshot-file": "@/s1", "snapshot-node-name": "s1", "format": "nope"}
blockdev-snapshot-sync {"node-name": "q", "snapshot-file": "@/s1", "snapshot-node-name": "s1", "mode": "existing"}
blockdev-snapshot-sync {"device": "drv1", "snapshot-file": "@/s1", "snapshot-node-name": "s1"}
blockdev-snapshot-sync {"device": "drv1", "snapshot-file": "@/s2", "snapshot-node-name": "s2"}
blockdev-snapshot-sync {"node-name": "s1", "snapshot-file": "@/s3", "snapshot-node-name": "s3"}
query-named-block-nodes {"flat": true}
change-backing-file {"device": "s2", "image-node-name": "nope", "backing-file": "x"}
change-backing-file {"device": "s1", "image-node-name": "s1", "backing-file": "x"}
change-backing-file {"device": "src", "image-node-name": "src", "backing-file": "x"}
change-backing-file {"device": "src", "image-node-name": "s1", "backing-file": "x"}
change-backing-file {"device": "s2", "image-node-name": "s1", "backing-file": "@/elsewhere"}
query-named-block-nodes {"flat": true}
transaction {"actions": [{"type": "blockdev-snapshot-sync", "data": {"device": "drv1", "snapshot-file": "@/s4", "snapshot-node-name": "s4"}}, {"type": "abort", "data": {}}]}
query-named-block-nodes {"flat": true}
drive-backup {"device": "nope", "target": "@/b", "sync": "full"}
drive-backup {"job-id": "b", "device": "src", "target": "/no/b", "sync": "full"}
drive-backup {"job-id": "b", "device": "src", "target": "@/b", "sync": "full", "format": "nope"}
drive-backup {"job-id": "b", "device": "src", "target": "@/nope", "sync": "full", "mode": "existing", "format": "raw"}
drive-backup {"job-id": "b", "device": "src", "target": "@/b", "sync": "full", "speed": -1}
drive-backup {"job-id": "b", "device": "src", "target": "@/b", "sync": "full"}
drive-backup {"job-id": "b", "device": "src", "target": "@/b", "sync": "full", "mode": "existing", "format": "raw"}
drive-backup {"job-id": "b", "device": "src", "target": "@/b.qcow2", "sync": "top", "format": "qcow2"}
transaction {"actions": [{"type": "drive-backup", "data": {"job-id": "b", "device": "src", "target": "@/t", "sync": "full"}}, {"type": "abort", "data": {}}]}
query-named-block-nodes {"flat": true}
drive-mirror {"device": "nope", "target": "@/m", "sync": "full"}
drive-mirror {"job-id": "m", "device": "s1", "target": "@/m", "sync": "full"}
drive-mirror {"job-id": "m", "device": "src", "target": "/no/m", "sync": "full"}
drive-mirror {"job-id": "m", "device": "src", "target": "@/m", "sync": "full", "granularity": 100}
drive-mirror {"job-id": "m", "device": "src", "target": "@/m", "sync": "full", "granularity": 1000}
drive-mirror {"job-id": "m", "device": "src", "target": "@/m", "sync": "full", "buf-size": -1}
drive-mirror {"job-id": "m", "device": "src", "target": "@/m", "sync": "full", "speed": -1}
drive-mirror {"job-id": "m", "device": "src", "target": "@/m", "sync": "full", "node-name": "q"}
drive-mirror {"job-id": "m", "device": "src", "target": "@/m", "sync": "none"}
drive-mirror {"job-id": "m", "device": "src", "target": "@/m", "sync": "full", "node-name": "m"}
drive-mirror {"job-id": "n", "device": "src", "target": "@/n", "sync": "full"}
block-job-complete {"device": "m"}
query-named-block-nodes {"flat": true}
"""
FILES_DRIVES = ("-drive", "if=none,id=drv1,file=@/top.qcow2,format=qcow2")

SNAPSHOTS = r"""
human-monitor-command {"command-line": "info snapshots"}
snapshot-save {"job-id": "s0", "tag": "t1", "vmstate": "a", "devices": ["a", "b"]}
query-jobs
job-dismiss {"id": "s0"}
query-block
cont
snapshot-save {"job-id": "s1", "tag": "t2", "vmstate": "a", "devices": ["a", "b"]}
snapshot-save {"job-id": "s2", "tag": "t2", "vmstate": "a", "devices": ["a", "b"]}
snapshot-save {"job-id": "s3", "tag": "t3", "vmstate": "zz", "devices": ["a", "b"]}
snapshot-save {"job-id": "s4", "tag": "t3", "vmstate": "a", "devices": ["a", "zz"]}
snapshot-save {"job-id": "s5", "tag": "t3", "vmstate": "a", "devices": []}
snapshot-save {"job-id": "s5", "tag": "t3", "vmstate": "a", "devices": ["a"]}
snapshot-save {"job-id": "5", "tag": "t3", "vmstate": "a", "devices": ["a"]}
query-jobs
snapshot-load {"job-id": "l0", "tag": "t1", "vmstate": "a", "devices": ["a", "b"]}
query-status
snapshot-load {"job-id": "l1", "tag": "t1", "vmstate": "b", "devices": ["a", "b"]}
query-status
snapshot-load {"job-id": "l2", "tag": "nope", "vmstate": "a", "devices": ["a", "b"]}
cont
query-jobs
stop
snapshot-load {"job-id": "l3", "tag": "t2", "vmstate": "a", "devices": ["a", "b"]}
query-status
human-monitor-command {"command-line": "savevm person"}
human-monitor-command {"command-line": "savevm person"}
human-monitor-command {"command-line": "loadvm person"}
human-monitor-command {"command-line": "loadvm nobody"}
human-monitor-command {"command-line": "info snapshots"}
human-monitor-command {"command-line": "delvm person"}
human-monitor-command {"command-line": "delvm nobody"}
blockdev-snapshot-internal-sync {"device": "drv1", "name": "disk"}
blockdev-snapshot-internal-sync {"device": "b", "name": "disk"}
blockdev-snapshot-internal-sync {"device": "b", "name": ""}
blockdev-snapshot-internal-sync {"device": "zz", "name": "disk"}
blockdev-add {"driver": "raw", "node-name": "r", "file": {"driver": "file", "filename": "@/raw.img"}}
blockdev-snapshot-internal-sync {"device": "r", "name": "disk"}
snapshot-save {"job-id": "s6", "tag": "t3", "vmstate": "a", "devices": ["a", "r"]}
snapshot-delete {"job-id": "d0", "tag": "t3", "devices": ["r"]}
query-jobs
human-monitor-command {"command-line": "savevm person"}
human-monitor-command {"command-line": "info snapshots"}
blockdev-snapshot-delete-internal-sync {"device": "b", "name": "nope"}
blockdev-snapshot-delete-internal-sync {"device": "b", "id": "1", "name": "disk"}
blockdev-snapshot-delete-internal-sync {"device": "b"}
blockdev-snapshot-delete-internal-sync {"device": "r", "name": "disk"}
blockdev-snapshot-delete-internal-sync {"device": "b", "name": "disk"}
blockdev-del {"node-name": "r"}
transaction {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "a", "name": "x"}}, {"type": "blockdev-snapshot-internal-sync", "data": {"device": "b", "name": "t1"}}]}
transaction {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "a", "name": "x"}}, {"type": "abort", "data": {}}]}
transaction {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "a", "name": "x"}}]}
human-monitor-command {"command-line": "info snapshots"}
snapshot-delete {"job-id": "d1", "tag": "t1", "devices": ["a", "b"]}
snapshot-delete {"job-id": "d2", "tag": "t1", "devices": ["a", "b"]}
blockdev-create {"job-id": "c0", "options": {"driver": "file", "filename": "@/c", "size": 0}}
blockdev-add {"driver": "file", "node-name": "cf", "filename": "@/c"}
blockdev-create {"job-id": "c1", "options": {"driver": "qcow2", "file": "cf", "size": 1048576}}
blockdev-add {"driver": "qcow2", "node-name": "c", "file": "cf"}
blockdev-add {"driver": "raw", "node-name": "over", "file": "c"}
blockdev-snapshot-internal-sync {"device": "c", "name": "s"}
blockdev-snapshot-internal-sync {"device": "over", "name": "s"}
human-monitor-command {"command-line": "info snapshots"}
nbd-server-start {"addr": {"type": "unix", "data": {"path": "@/nbd"}}}
block-export-add {"type": "nbd", "id": "e", "node-name": "over", "writable": true}
human-monitor-command {"command-line": "savevm all"}
human-monitor-command {"command-line": "info snapshots"}
"""
SNAPSHOTS_DISKS = (
    *("-blockdev", "qcow2,node-name=a,file.driver=file,file.filename=@/alone.qcow2"),
    *("-device", "virtio-blk-pci,drive=a,id=da"),
    *("-drive", "if=none,id=drv1,file=@/top.qcow2,format=qcow2,node-name=b"),
    *("-device", "virtio-blk-pci,drive=drv1,id=db", "-m", "4", "-accel", "tcg"),
)

# A line with ! is what qemu-io does with the image in that process.
EXPORTS = r"""
nbd-server-start {"addr": {"type": "unix", "data": {"path": "/no/nbd"}}}
nbd-server-start {"addr": {"type": "unix", "data": {"path": "@/nbd"}}}
blockdev-add {"driver": "raw", "node-name": "r0", "file": {"driver": "file", "filename": "@/raw.img", "node-name": "f0"}}
blockdev-add {"driver": "raw", "node-name": "c0", "file": {"driver": "file", "filename": "@/copy.img"}}
block-export-add {"type": "nbd", "id": "e0", "node-name": "r0", "name": "disk", "writable": true}
block-export-add {"type": "nbd", "id": "e1", "node-name": "r0", "name": "ro"}
block-set-write-threshold {"node-name": "r0", "write-threshold": 150000}
block-dirty-bitmap-add {"node": "r0", "name": "b"}
!disk read 0 4k
!disk write -P 7 100k 70k
!disk write -z 512k 64k
!disk read -P 7 100k 70k
!disk read 1M 1k
!disk write -f -P 8 0 512
!ro read 0 512
!ro write 0 512
!nope read 0 512
query-named-block-nodes {"flat": true}
query-blockstats {"query-nodes": true}
block-export-del {"id": "e1"}
blockdev-mirror {"job-id": "m", "device": "r0", "target": "c0", "sync": "full"}
query-block-exports
!disk write -P 9 100k 70k
query-block-jobs
block-job-complete {"device": "m"}
query-block-exports
!disk read -P 9 100k 70k
blockdev-del {"node-name": "r0"}
blockdev-snapshot-sync {"node-name": "c0", "snapshot-file": "@/s0", "snapshot-node-name": "s0"}
query-block-exports
!disk read -P 9 100k 70k
!disk write -P 1 0 64k
blockdev-add {"driver": "nbd", "node-name": "n0", "server": {"type": "unix", "path": "@/nope"}, "export": "disk"}
nbd-server-stop
query-named-block-nodes {"flat": true}
"""


class Talk:
    """One process on QMP over stdio, in a folder of its own that is called @ in texts."""

    def __init__(self, command, folder):
        self._folder = str(folder)
        given = [each.replace("@", self._folder) for each in command]
        self._process = subprocess.Popen(given, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._unread = b""
        self.greeting = json.loads(self._line(10))
        self.run("qmp_capabilities")

    def run(self, line):
        """Run one command; return everything that came until it was quiet."""
        if line.startswith("!"):
            return self._qemu_io(*line[1:].split(" ", 1))
        name, _, arguments = line.partition(" ")
        request = {"execute": name}
        if arguments:
            request["arguments"] = json.loads(arguments.replace("@", self._folder))
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        found = [self._line(10)]
        while found[-1].startswith("Formatting "):  # QEMU prints what it makes, on its stdout
            found[-1] = self._line(10)
        while '"event"' in found[-1][:80] and not found[-1].startswith('{"return"'):
            found.append(self._line(10))
        if re.search("job|create|mirror|backup|stream|commit|device_del|snapshot-", name):
            while (late := self._line(QUIET)) is not None:
                found.append(late)
        return [self._plain(each) for each in found]

    def _qemu_io(self, export, command):
        image = f"nbd+unix:///{export}?socket={self._folder}/nbd"
        given = [QEMU_IO, *(["-r"] if export == "ro" else []), "-f", "raw", "-c", command, image]
        done = subprocess.run(given, check=False, capture_output=True, text=True)
        printed = re.sub(r"[\d.]+ sec.*", "", done.stdout + done.stderr)
        found = [json.dumps(printed)]
        while (late := self._line(QUIET)) is not None:
            found.append(late)
        return [self._plain(each) for each in found]

    def end(self):
        self._process.kill()
        self._process.communicate()

    def _line(self, within):
        deadline = time.monotonic() + within
        while b"\n" not in self._unread:
            left = max(0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                return None
            self._unread += os.read(self._process.stdout.fileno(), 1 << 16)
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode().strip()

    def _plain(self, text):
        text = re.sub(rf'"({PASSING})": \d+', r'"\1": 0', text)
        # What savevm saves is not of one size.
        text = re.sub(r'"vm-state-size": [1-9]\d*', '"vm-state-size": 1', text)
        text = re.sub(r"[ \d.]{4} [KM]iB \d{4}-", "   1 KiB 2026-", text)
        text = re.sub(
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( +(?:00)?00:00):\d\d\.\d{3}", r"DATE\1", text
        )
        return re.sub(r"#block\d+", "#block", text).replace(self._folder, "@")


def prepare(folder):
    folder.mkdir()
    (folder / "raw.img").write_bytes(b"data" * (1 << 18))
    (folder / "copy.img").write_bytes(bytes(1 << 20))
    for arguments in (
        ["base.qcow2", "1M"],
        ["alone.qcow2", "1M"],
        ["-b", "base.qcow2", "-F", "qcow2", "top.qcow2"],
    ):
        made = [QEMU_IMG, "create", "-q", "-f", "qcow2", *arguments]
        subprocess.run(made, cwd=folder, check=True)


@pytest.fixture
def talks(tmp_path):
    """Start both; a QEMU of another version than the profiles is nothing to compare with."""
    started = []

    def talks(arguments=()):
        for name in ("real", "ours"):
            prepare(tmp_path / name)
        started.append(Talk([QEMU, *MACHINE, *arguments], tmp_path / "real"))
        version = started[0].greeting["QMP"]["version"]["qemu"]
        profile = f"{version['major']}.{version['minor']}"
        if profile not in ("7.2", "11.1"):
            pytest.skip(f"there is no profile of QEMU {profile}")
        ours = [sys.executable, "-P", "-m", "qemu_sim", "-sim", f"profile={profile}"]
        started.append(Talk([*ours, *MACHINE, *arguments], tmp_path / "ours"))
        return started

    yield talks
    for talk in started:
        talk.end()


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        (NODES, ()),
        (JOBS, ()),
        (DRIVES, DEVICES),
        (FILES, FILES_DRIVES),
        (SNAPSHOTS, SNAPSHOTS_DISKS),
        (EXPORTS, ()),
    ],
    ids=["nodes", "jobs", "drives", "files", "snapshots", "exports"],
)
def test_the_same_bytes_come_back(talks, script, arguments):
    real, ours = talks(arguments)
    for line in script.strip().split("\n"):
        expected, found = real.run(line), ours.run(line)
        assert [json.loads(each) for each in found] == [json.loads(each) for each in expected], line
        assert found == expected, line
