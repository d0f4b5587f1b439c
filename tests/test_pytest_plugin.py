"""The fixtures, used by test files of strangers in a pytest of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile

import pytest

pytest_plugins = ["pytester"]

OPTIONS = (
    *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
    *("-W", "error"),
)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture
def run(pytester, monkeypatch):
    """Run one file in a pytest of its own; fails unless the outcomes are these."""
    monkeypatch.setenv("PYTHONPATH", ROOT)  # for a checkout that nobody has installed

    def run(source, *arguments, **outcomes):
        pytester.makepyfile(source)
        result = pytester.runpytest_subprocess(*plugin(), *OPTIONS, *arguments)
        result.assert_outcomes(**outcomes)
        return result

    return run


def plugin():
    """Name the plugin, unless it is installed and comes by itself."""
    code = "from importlib.metadata import entry_points as e; print(e(group='pytest11').names)"
    names = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    return () if "'qemu_sim'" in names else ("-p", "qemu_sim.pytest_plugin")


def test_sync_and_async_in_both_modes(run):
    run(
        """
        import asyncio, os
        import pytest

        @pytest.fixture(params=["in-process", "daemon"])
        def qemu_sim_mode(request):
            return request.param

        def test_sync(machine, qemu_sim_mode):
            assert (machine.pid == os.getpid()) == (qemu_sim_mode == "in-process")
            machine.execute("stop")
            machine.wait_event("STOP", timeout=5)
            assert machine.execute("query-status") == {"status": "paused", "running": False}

        async def test_async(machine):
            async with machine.client() as qmp:
                waiting = asyncio.create_task(machine.aio.wait_event("STOP"))
                assert await qmp.execute("query-name") == {"name": "vm0"}
                await qmp.execute("stop")
                assert (await waiting)["event"] == "STOP"

        def test_pair(machine_pair):
            source, destination = machine_pair
            outcome = source.migrate_to(destination)
            assert outcome.source.status == outcome.destination.status == "completed"
            destination.wait_event("RESUME")

        async def test_pair_async(machine_pair):
            source, destination = machine_pair
            assert (await source.aio.migrate_to(destination)).source.status == "completed"

        async def test_made_by_a_coroutine(make_machine):
            machine = await make_machine.aio("-uuid", "00000000-0000-0000-0000-000000000001")
            assert (await machine.aio.execute("query-uuid"))["UUID"].endswith("1")
        """,
        passed=10,
    )


def test_the_command_line_is_overridden_by_a_parameter(run):
    run(
        """
        import pytest

        @pytest.mark.parametrize("qemu_sim_argv", [["-name", "web"]])
        @pytest.mark.parametrize("qemu_sim_mode", ["in-process", "daemon"])
        def test_name(machine):
            assert machine.execute("query-name") == {"name": "web"}
        """,
        passed=2,
    )


def test_what_cannot_be_is_said(run):
    run(
        """
        import pytest
        from qemu_sim.testing import StartFailed

        @pytest.mark.parametrize("mode", ["in-process", "daemon"])
        def test_what_does_not_start(make_machine, mode):
            with pytest.raises(StartFailed, match="-nonsense: invalid option"):
                make_machine("-nonsense", mode=mode)

        def test_an_immortal_machine(machine):
            with pytest.raises(RuntimeError, match="cannot be killed"):
                machine.kill()
            with pytest.raises(RuntimeError, match="cannot be killed"):
                machine.inject("die", at="stopped")

        class TestMode:
            @pytest.fixture
            def qemu_sim_mode(self):
                return "elsewhere"

            def test_mode(self, request):
                with pytest.raises(ValueError, match="not 'elsewhere'"):
                    request.getfixturevalue("make_machine")
        """,
        passed=4,
    )


LEAKS = """
    import asyncio, os, socket, sys
    import pytest
    from qemu_sim.commands import registry

    kept = []

    def test_descriptor(machine):
        kept.append(socket.socket(socket.AF_UNIX))

    def test_task(make_machine):
        async def forever():
            await asyncio.get_running_loop().create_future()
        async def forget():
            kept.append(asyncio.create_task(forever(), name="forgotten"))
        make_machine._thread.call(forget(), 1)

    def test_error_on_the_loop(make_machine):
        def fail():
            raise LookupError("in a callback")
        make_machine._thread.loop.call_soon_threadsafe(fail)

    @pytest.mark.filterwarnings("default")
    def test_bug(machine, monkeypatch):
        def broken(machine):
            raise LookupError("nobody foresaw this")
        command = registry.find("query-status")._replace(run=broken)
        monkeypatch.setitem(registry._commands, "query-status", command)
        with pytest.raises(Exception, match="bug in qemu-sim"):
            machine.execute("query-status")

    def test_bug_of_a_daemon(make_machine, tmp_path, monkeypatch):
        with open(tmp_path / "sitecustomize.py", "w") as file:
            file.write(
                "from qemu_sim.commands import registry\\n"
                "def broken(machine): raise LookupError('nobody foresaw this')\\n"
                "command = registry.find('query-name')._replace(run=broken)\\n"
                "registry._commands['query-name'] = command\\n"
            )
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
        machine = make_machine(mode="daemon")
        with pytest.raises(Exception, match="bug in qemu-sim"):
            machine.execute("query-name")

    def test_socket(machine):
        machine.execute("quit")
        machine.wait()
        kept.append(socket.socket(socket.AF_UNIX))
        kept.pop().close()
        open(machine.qmp_path, "w").close()

    def test_stuck_machines(make_machine, machine, monkeypatch):
        import time
        import qemu_sim.testing.loop_thread as loop_thread
        loop_thread._GRACE = 0.1
        import qemu_sim.testing.machine as handle
        handle.TIMEOUT = 0.1
        make_machine._thread.loop.call_soon_threadsafe(time.sleep, 1)

    def test_deaf_daemon(make_machine):
        import signal
        import qemu_sim.testing.loop_thread as loop_thread
        loop_thread._GRACE = 5
        import qemu_sim.testing.machine as handle
        handle.TIMEOUT = 10
        import qemu_sim.testing.daemon
        qemu_sim.testing.daemon.STOP_TIMEOUT = 0.2
        os.kill(make_machine(mode="daemon").pid, signal.SIGSTOP)

    def test_nothing_of_this_reaches_the_next_test(machine):
        assert machine.execute("query-status")["running"]
"""


def test_what_is_left_behind_fails_the_test(run):
    result = run(LEAKS, passed=9, errors=8)
    said = result.stdout.str()
    for text in (
        "descriptor left behind: ",
        "task left behind: forgotten",
        "error on the event loop: Exception in callback test_error_on_the_loop",
        "LookupError: nobody foresaw this",
        "socket left behind: ",
        "vm0: did not end within 0.2 s after SIGTERM",
        "the event loop of the machines is stuck",
    ):
        assert text in said
    assert said.count("LookupError: nobody foresaw this") >= 2


def test_what_was_set_up_and_never_came_fails_the_test(run):
    result = run(
        """
        import pytest

        @pytest.fixture(params=["in-process", "daemon"])
        def qemu_sim_mode(request):
            return request.param

        def test_no_hold(machine_pair):
            machine_pair.source.hold("postcopy-active")
            machine_pair.source.migrate_to(machine_pair.destination)

        def test_no_fault(machine_pair):
            machine_pair.source.inject("lose-fd")  # and no backend moves
            machine_pair.source.migrate_to(machine_pair.destination)

        def test_no_migration(machine):
            machine.inject("refuse", at="stopped")
            machine.execute("quit")
            machine.wait()

        def test_it_is_allowed(machine_pair):
            source, destination = machine_pair
            source.hold("postcopy-active")
            source.inject("lose-fd", must_strike=False)
            source.release()
            source.migrate_to(destination)

        def test_it_came(make_machine):
            source = make_machine(mode="daemon")
            destination = make_machine("-incoming", "defer")
            source.inject("die", at="before-stop")
            source.hold("active")
            source.start_migration(destination)
            source.wait_held("active")
            source.release()
            assert source.wait() == -9
        """,
        passed=10,
        errors=6,
    )
    for words in (
        "source: no migration was held at 'postcopy-active'",
        "source: fault 'lose-fd' never struck",
        "vm0: fault 'refuse' at 'stopped' never struck",
    ):
        # Some summaries, of a CI for instance, say it again.
        said = [line for line in result.outlines if line.startswith(words)]
        assert len(said) == 2, words


def test_what_stays_is_not_always_a_leak(run, pytester):
    """A loop of session scope, a descriptor opened and closed, a killed daemon's sockets."""
    run(
        """
        import os
        import pytest

        @pytest.mark.asyncio(loop_scope="session")
        async def test_a_loop_that_outlives_the_test(machine):
            await machine.aio.execute("stop")

        def test_a_killed_daemon(make_machine):
            machine = make_machine(mode="daemon")
            assert machine.kill() == -9
            with pytest.raises(ConnectionError, match="machine 'vm0' has ended"):
                machine.execute("query-status")

        def test_a_machine_that_ended(machine):
            machine.execute("quit")
            machine.wait_event("SHUTDOWN", reason="host-qmp-quit")
            assert machine.wait() == 0
        """,
        passed=3,
    )


def test_a_long_directory_is_replaced_by_a_short_one(run, tmp_path):
    run(
        """
        import os
        def test_path(machine, tmp_path, request):
            assert len(str(tmp_path)) > 108
            assert len(machine.qmp_path) < 108 and os.path.exists(machine.qmp_path)
            request.config.cache.set("directory", os.path.dirname(machine.qmp_path))
        def test_it_is_gone(request):
            assert not os.path.exists(request.config.cache.get("directory", "/"))
        """,
        f"--basetemp={tmp_path / ('x' * 120)}",
        passed=2,
    )


def test_loading_the_plugin_costs_nothing():
    code = """
import sys, pytest
before = set(sys.modules)
import qemu_sim.pytest_plugin
print(*sorted(set(sys.modules) - before))
"""
    environment = {**os.environ, "PYTHONPATH": ROOT}
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert loaded.split() == ["qemu_sim", "qemu_sim.pytest_plugin"]


@pytest.fixture
def short_directory():
    with tempfile.TemporaryDirectory() as directory:
        yield directory


def test_no_machine_outlives_a_killed_pytest(pytester, short_directory, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ROOT)
    monkeypatch.setenv("TMPDIR", short_directory)  # nobody is left to clean up
    pytester.makepyfile(
        """
        import os, signal
        def test_end(make_machine):
            machine = make_machine(mode="daemon")
            print(f"\\nmachine {machine.pid} ends", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = pytester.runpytest_subprocess(*plugin(), "-s")
    line = next(line for line in result.outlines if line.startswith("machine "))
    wait_for_the_end(int(line.split()[1]))


def wait_for_the_end(pid):
    """Fail unless the process ends within 10 s; it is somebody else's child."""
    import select

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    ended = poll.poll(10_000)
    os.close(pidfd)
    assert ended, f"process {pid} is still there"


def test_the_examples_run_for_a_stranger(monkeypatch, pytester):
    """With plain pytest: none of this project's settings."""
    monkeypatch.setenv("PYTHONPATH", ROOT)
    examples = os.path.join(ROOT, "examples")
    files = [name for name in os.listdir(examples) if name.startswith("test_")]
    for name in files:
        with open(os.path.join(examples, name)) as file:
            assert len(file.readlines()) <= 40, name
    paths = [os.path.join(examples, name) for name in files]
    result = pytester.runpytest_subprocess(
        *plugin(), "-p", "no:cacheprovider", "--rootdir=.", "-c", os.devnull, *paths
    )
    result.assert_outcomes(passed=5)


def test_the_example_of_the_readme_runs(run):
    with open(os.path.join(ROOT, "README.md")) as file:
        blocks = re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL)
    tests = [block for block in blocks if "def test_" in block]
    assert tests
    run("\n".join(tests), passed=sum(block.count("def test_") for block in tests))


def test_a_failed_test_shows_its_own_lines(run):
    result = run(
        """
        def test_refused(machine):
            machine.execute("query-stat")

        async def test_refused_async(machine):
            await machine.aio.execute("query-stat")

        def test_waiting(machine):
            machine.wait_event("STOP", timeout=0.01)

        def test_no_start(make_machine):
            make_machine("-M", "q36")
        """,
        failed=4,
    )
    text = result.stdout.str()
    assert "machine = <SimMachine 'vm0'>" in text
    shown = set(re.findall(r"(?m)^\S*?(\w+)\.py:\d+: ", text))
    assert shown == {"test_a_failed_test_shows_its_own_lines"}
