"""The program as a process: what it prints, how it becomes a daemon, how it ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

PROGRAM = [sys.executable, "-m", "qemu_sim"]
TIMEOUT = 20


def _run(*arguments):
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def _wait_for(condition, what):
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, f"timed out: {what}"
        time.sleep(0.01)


def _is_gone(pid):
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"
    return True


def _greeting(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT)
        client.connect(path)
        return json.loads(client.makefile().readline())


@pytest.fixture
def daemon(tmp_path):
    """Start a daemon; returns its pid and the paths of its socket and pidfile."""
    pidfile, monitor = str(tmp_path / "pid"), str(tmp_path / "qmp")
    # Both streams are read to their end, so this also shows that the daemon keeps neither.
    started = _run(
        *("-machine", "none", "-nodefaults", "-nographic", "-daemonize", "-pidfile", pidfile),
        *("-qmp", f"unix:{monitor},server=on,wait=off"),
    )
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    with open(pidfile) as file:
        pid = int(file.read())
    yield pid, monitor, pidfile
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_version_is_understood_by_those_who_parse_qemus():
    run = _run("-version")

    assert run.stdout.startswith("QEMU emulator version 11.1.3 (qemu-sim ")
    assert run.returncode == 0


def test_help_lists_every_option_that_is_read():
    from qemu_sim.argv.parse import READERS

    words = _run("-help").stdout.split()

    assert [name for name in READERS if f"-{name}" not in words] == []


def test_a_machine_type_nobody_knows():
    run = _run("-machine", "foo")

    assert run.returncode == 1
    assert run.stderr == (
        'qemu-sim: unsupported machine type: "foo"\nUse -machine help to list supported machines\n'
    )


def test_the_daemon_can_be_talked_to_when_its_parent_exits(daemon):
    pid, monitor, _ = daemon

    assert _greeting(monitor)["QMP"]["version"]["qemu"]["major"] == 11
    streams = {os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)}
    assert streams == {os.devnull}
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) not in (pid, os.getsid(0))


def test_a_daemon_does_without_streams(tmp_path):
    """Who has closed them all would have its first socket at the place of one."""
    monitor, pidfile = tmp_path / "qmp", tmp_path / "pid"
    arguments = ["-machine", "none", "-daemonize", "-pidfile", str(pidfile)]
    arguments += ["-qmp", f"unix:{monitor},server=on,wait=off"]
    closing = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    assert subprocess.call([*closing, *PROGRAM, *arguments], timeout=TIMEOUT) == 0
    pid = int(pidfile.read_text())
    assert _greeting(str(monitor))["QMP"]["version"]["qemu"]["major"] == 11
    os.kill(pid, signal.SIGTERM)
    _wait_for(lambda: _is_gone(pid), "end of the daemon")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_daemon_and_its_files(daemon, number):
    pid, monitor, pidfile = daemon

    os.kill(pid, number)

    _wait_for(lambda: _is_gone(pid), "end of the daemon")
    assert not os.path.exists(pidfile)
    assert not os.path.exists(monitor)


@pytest.mark.parametrize(
    ("listening", "name"),
    [
        (("-chardev", "socket,id=c,path=char,server=on,wait=off"), "char"),
        (("-incoming", "unix:migration"), "migration"),
    ],
)
def test_a_daemon_removes_what_was_given_by_a_relative_path(listening, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _run(
        *("-machine", "none", "-nodefaults", "-nographic", "-daemonize", "-pidfile", "pid"),
        *("-qmp", "unix:qmp,server=on,wait=off"),
        *listening,
    )
    pid = int((tmp_path / "pid").read_text())
    made = sorted(os.listdir(tmp_path))

    os.kill(pid, signal.SIGTERM)

    assert made == sorted([name, "pid", "qmp"])

    _wait_for(lambda: _is_gone(pid), "end of the daemon")
    assert os.listdir(tmp_path) == []


def test_a_pidfile_serves_one_process(daemon):
    pid, _, pidfile = daemon

    for extra in ([], ["-daemonize"]):
        second = _run("-machine", "none", "-pidfile", pidfile, *extra)
        assert second.returncode == 1
        assert second.stderr == (
            "qemu-sim: cannot create PID file: Cannot lock pid file: "
            "Resource temporarily unavailable\n"
        )
    assert not _is_gone(pid)
    with open(pidfile) as file:
        assert int(file.read()) == pid


def test_a_daemon_that_cannot_start_says_so(tmp_path):
    missing = tmp_path / "missing"
    for arguments, error in (
        (
            ["-pidfile", f"{missing}/pid"],
            f"cannot create PID file: Could not create '{missing}/pid'",
        ),
        (
            ["-qmp", f"unix:{missing}/q,server=on,wait=off"],
            f"-qmp unix:{missing}/q,server=on,wait=off: Failed to bind socket to {missing}/q",
        ),
    ):
        run = _run("-machine", "none", "-daemonize", *arguments)
        assert run.returncode == 1
        assert run.stderr == f"qemu-sim: {error}: No such file or directory\n"


def test_a_signal_is_reported_with_its_sender(tmp_path):
    monitor = str(tmp_path / "qmp")
    process = subprocess.Popen(
        [*PROGRAM, "-machine", "none", "-qmp", f"unix:{monitor},server=on,wait=off"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_for(lambda: os.path.exists(monitor), "monitor socket")
        _greeting(monitor)
        process.terminate()
        _, errors = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()

    assert process.returncode == 0
    assert errors == (
        f"qemu-sim: terminating on signal 15 from pid {os.getpid()} ({_own_program()})\n"
    )


def test_a_signal_ends_a_start_that_waits_for_its_client(tmp_path):
    monitor, pidfile = tmp_path / "qmp", tmp_path / "pid"
    process = subprocess.Popen(
        [*PROGRAM, "-machine", "none", "-pidfile", pidfile, "-qmp", f"unix:{monitor},server=on"],
        stderr=subprocess.PIPE,
    )
    try:
        _wait_for(monitor.exists, "monitor socket")
        process.terminate()
        process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()

    assert process.returncode == 0
    assert not pidfile.exists()


def test_it_ends_with_its_parent_if_asked_to(tmp_path):
    monitor, pidfile = str(tmp_path / "qmp"), tmp_path / "pid"
    script = '"$@" & while ! [ -S "$SOCKET" ]; do sleep 0.02; done'
    arguments = ("-machine", "none", "-pidfile", pidfile, "-run-with", "exit-with-parent=on")
    subprocess.run(
        [
            *("sh", "-c", script, "sh", *PROGRAM, *arguments),
            *("-qmp", f"unix:{monitor},server=on,wait=off"),
        ],
        env={**os.environ, "SOCKET": monitor},
        timeout=TIMEOUT,
        check=True,
        stderr=subprocess.DEVNULL,
    )

    _wait_for(lambda: not pidfile.exists(), "end of the orphan")


def test_a_process_may_be_renamed(tmp_path):
    monitor = str(tmp_path / "qmp")
    process = subprocess.Popen(
        [
            *(*PROGRAM, "-machine", "none", "-name", "vm,process=my-machine"),
            *("-qmp", f"unix:{monitor},server=on,wait=off"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(lambda: os.path.exists(monitor), "monitor socket")
        with open(f"/proc/{process.pid}/comm") as file:
            assert file.read() == "my-machine\n"
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def test_a_start_imports_nothing_that_is_slow():
    script = "import sys, qemu_sim.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()

    slow = {"argparse", "asyncio", "pydantic", "importlib.metadata", "subprocess", "json"}
    assert slow.isdisjoint(loaded)


def test_the_first_answer_waits_for_nothing_that_only_some_machines_need():
    program = subprocess.Popen(
        [sys.executable, "-X", "importtime", *PROGRAM[1:], "-machine", "none", "-qmp", "stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        program.stdin.write('{"execute":"qmp_capabilities"}')
        program.stdin.flush()
        assert "QMP" in program.stdout.readline()
        assert "return" in program.stdout.readline()
        program.kill()
        loaded = {line.rpartition("|")[2].strip() for line in program.stderr}
    assert {"asyncio", "qemu_sim.host"} <= loaded
    assert {"ssl", "inspect", "dataclasses", "random"}.isdisjoint(loaded)
    assert {
        "qemu_sim.block.graph",
        "qemu_sim.faults",
        "qemu_sim.migration.migration",
        "qemu_sim.machine.migration_settings",
        "qemu_sim.qapi.device_properties",
        "qemu_sim.qapi.schema",
    }.isdisjoint(loaded)


def test_a_socket_listens_no_more_when_a_device_fails(tmp_path):
    monitor = tmp_path / "qmp"
    ended = _run("-qmp", f"unix:{monitor},server=on,wait=off", "-device", "nonsense")
    assert ended.returncode == 1
    assert "'nonsense' is not a valid device model name" in ended.stderr
    assert not monitor.exists()


def _own_program():
    with open("/proc/self/cmdline", "rb") as file:
        return os.fsdecode(file.read().partition(b"\0")[0])
