"""The way QEMU's test programs start and end an emulator."""

import re
import socket
import subprocess
import sys

import pytest


def test_ram_is_written_through_the_socket(start):
    emulator = start("-nodefaults -machine q35 -m 16").negotiate()
    assert emulator.script("writel 0x1000 0xdeadbeef") == "OK"
    assert emulator.script("readl 0x1000") == "OK 0x00000000deadbeef"
    assert emulator.script("clock_step 5") == "OK 5"


def test_a_long_line_arrives_whole(start):
    emulator = start("-nodefaults -machine q35 -m 16").negotiate()
    assert emulator.script(f"write 0x1000 300000 0x{'ab' * 300000}") == "OK"
    assert emulator.script("read 0x1000 300000") == f"OK 0x{'ab' * 300000}"


def test_the_log_says_what_went_over_the_socket(start, folder):
    emulator = start(f"-nodefaults -machine none -qtest-log {folder}/log").negotiate()
    emulator.end()
    with open(f"{folder}/log") as file:
        lines = [line.split("] ")[1] for line in file.read().splitlines()]
    assert lines[:3] == ["OPENED", "endianness", "OK little"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "'nonsense' is not a valid char driver"),
        ("unix:/nope/x", "Failed to connect to '/nope/x': No such file or directory"),
    ],
)
def test_a_bad_address_ends_the_start(text, reason):
    command = [sys.executable, "-P", "-m", "qemu_sim", "-M", "none", "-qtest", text]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    failed = f'Failed to initialize device for qtest: "{text}"'
    assert ended.returncode == 1
    assert re.sub("(?m)^[^:]*: ", "", ended.stderr) == f"{reason}\n{failed}\n"


def test_a_start_that_fails_is_seen_by_the_test_program(folder):
    """A libqtest program would wait 50 seconds for a connection that never comes."""
    path = f"{folder}/qtest.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(20)
        command = [sys.executable, "-P", "-m", "qemu_sim", "-M", "q35", "-qtest", f"unix:{path}"]
        with subprocess.Popen([*command, "-device", "nonsense"], stderr=subprocess.PIPE) as started:
            program, _ = listener.accept()
            with program:
                program.settimeout(20)
                assert program.recv(100) == b""
            assert started.wait(20) == 1
            assert b"'nonsense' is not a valid device model name" in started.stderr.read()


@pytest.mark.parametrize("wrong", ["-nonsense", "-nic socket,fd=4", "-M nonsense"])
def test_a_command_line_that_is_refused_is_seen_by_the_test_program(folder, wrong):
    paths = [f"{folder}/qtest.sock", f"{folder}/qtest.qmp"]
    listeners = [socket.socket(socket.AF_UNIX) for _ in paths]
    for listener, path in zip(listeners, paths, strict=True):
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(20)
    chardev = f"socket,path={paths[1]},id=char0"
    command = [sys.executable, "-P", "-m", "qemu_sim", "-qtest", f"unix:{paths[0]}"]
    ended = subprocess.run(
        [*command, "-chardev", chardev, "-mon", "chardev=char0,mode=control", *wrong.split()],
        check=False,
        capture_output=True,
        timeout=20,
    )
    assert ended.returncode == 1
    for listener in listeners:
        with listener, listener.accept()[0] as program:
            program.settimeout(20)
            while program.recv(1000):
                """A monitor may have greeted."""
