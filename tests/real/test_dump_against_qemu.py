"""A core file of a real QEMU and one of qemu-sim: all but the firmware's ROM is the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed")

MACHINE = [
    "-S",
    "-nodefaults",
    "-display",
    "none",
    "-machine",
    "q35",
    "-m",
    "4",
    "-smp",
    "2",
    "-qmp",
    "stdio",
]
AROUND = 0x10000  # bytes from the start: headers, notes, and some of RAM


def dumped(command, path, **more):
    arguments = {"paging": False, "protocol": f"file:{path}", **more}
    requests = [
        {"execute": "qmp_capabilities"},
        {"execute": "dump-guest-memory", "arguments": arguments},
        {"execute": "quit"},
    ]
    talk = "\n".join(map(json.dumps, requests))
    done = subprocess.run(
        [*command, *MACHINE], input=talk, capture_output=True, text=True, check=True
    )
    assert "DUMP_COMPLETED" in done.stdout
    return path.read_bytes()


@pytest.mark.parametrize("part", [{}, {"begin": 4096, "length": 8192}], ids=["whole", "part"])
def test_the_same_file_comes_out(tmp_path, part):
    real = dumped([QEMU], tmp_path / "real", **part)
    ours = dumped([sys.executable, "-P", "-m", "qemu_sim"], tmp_path / "ours", **part)
    assert len(ours) == len(real)
    assert ours[:AROUND] == real[:AROUND]
    assert ours[-11:] == real[-11:]
