"""`qemu-sim inspect`: a tree on stdout, what is wrong on stderr, and a status."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = [sys.executable, "-m", "qemu_sim", "inspect"]
TIMEOUT = 30


def inspect(*arguments, **more):
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False, **more
    )


@pytest.fixture
def stored(golden_stream, tmp_path):
    """Store a golden stream, or the first `size` bytes of it."""

    def store(name, size=None):
        path = tmp_path / "stream"
        path.write_bytes(golden_stream(name)[:size])
        return str(path)

    return store


def test_a_tree(stored):
    result = inspect(stored("11.1-shared"))
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        "0x00000008  configuration: pc-i440fx-11.1",
        "              configuration/capabilities: x-ignore-shared",
        "              configuration/uuid: 5e9f6b0e-0a8c-4c5e-9d5c-3f3a1f0b7c11",
    ]
    for line in (
        "              block 'ram', 1048576 bytes",
        "              runstate: 'running'",
        "              patched: 0x0",
        "  block 'pc.bios', 65536 bytes: 16 zero pages",
    ):
        assert line in lines
    commands = [line.split(maxsplit=1)[1] for line in lines if "  command " in line]
    assert commands == ["command switchover-start"]


def test_structs_and_subsections_are_indented(stored):
    lines = inspect(stored("7.2-q35")).stdout.splitlines()
    at = lines.index("              env.segs[1]:")
    assert lines[at + 1] == "                selector: 0xf000"
    assert any(line.startswith("              cpu/") and line.endswith(":") for line in lines)
    assert lines[-7].endswith("31 devices, 0 descriptors, 6 blocks of RAM")


def test_what_was_read_before_the_error_is_shown(stored):
    result = inspect(stored("7.2-return-path", 100_000))
    assert result.returncode == 1
    assert "command ping\n              00 00 00 01\n" in result.stdout
    assert result.stderr.startswith("qemu-sim inspect: at byte ")
    assert result.stderr.endswith("suppress-vmdesc=on\n")


def test_a_foreign_file_a_missing_one_and_none():
    foreign = inspect("/proc/version")
    assert foreign.returncode == 1
    assert "Not a migration stream, magic: 4c696e75 != 5145564d" in foreign.stderr
    missing = inspect("/nonexistent")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "Could not open '/nonexistent': No such file or directory" in missing.stderr
    assert inspect().returncode == 2


def test_a_pipe(golden_stream):
    data = golden_stream("7.2-pc")
    result = subprocess.run(
        [*PROGRAM, "/dev/stdin"], input=data, capture_output=True, timeout=TIMEOUT, check=False
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"configuration: pc-i440fx-7.2" in result.stdout


def test_a_pager_that_is_left_early(stored):
    command = f"{' '.join(PROGRAM)} {stored('7.2-q35')} | head -1"
    result = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert result.stderr == ""
    assert result.stdout.startswith("0x00000008  configuration:")
