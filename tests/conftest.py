"""What many tests share: vhost-user servers, and a network namespace for root and non-root."""

from __future__ import annotations

import functools
import json
import lzma
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import traceback

import pytest
from _pytest.runner import runtestprotocol

from qemu_sim.testing import netns as namespaces
from qemu_sim.testing.listening import is_listening

# A shell that starts us in the background has it ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_IMAGE_SIZE = 64 << 20
# Children find the package as this process does, installed or not.
_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


class ServerProcess:
    """A running vhost-user-blk server; `kind` is its program, "embedded" for our own."""

    def __init__(self, kind: str, directory: str) -> None:
        self.kind = kind
        self.path = os.path.join(directory, "server.sock")
        self.image = os.path.join(directory, "image")
        self.log_path = os.path.join(directory, "log")
        with open(self.image, "wb") as image:
            image.truncate(_IMAGE_SIZE)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command(), env=_ENVIRONMENT)
        deadline = time.monotonic() + 10
        while not is_listening(self.path):
            assert self.process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def read_image(self, offset: int, length: int) -> bytes:
        with open(self.image, "rb") as image:
            image.seek(offset)
            return image.read(length)

    def write_image(self, offset: int, data: bytes) -> None:
        with open(self.image, "r+b") as image:
            image.seek(offset)
            image.write(data)

    def log(self) -> list[dict]:
        with open(self.log_path) as lines:
            return [json.loads(line) for line in lines]

    def _command(self) -> list[str]:
        if self.kind == "embedded":
            ours = [sys.executable, "-m", "qemu_sim", "vhost-user-blk", "--log", self.log_path]
            return [*ours, "--socket", self.path, "--image", self.image]
        export = "type=vhost-user-blk,id=disk,node-name=image,writable=on,num-queues=4"
        return [
            "qemu-storage-daemon",
            f"--blockdev=driver=file,node-name=image,filename={self.image}",
            f"--export={export},addr.type=unix,addr.path={self.path}",
        ]


@pytest.fixture(params=["embedded", "qemu-storage-daemon"])
def server(request, tmp_path):
    if request.param != "embedded" and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    running = ServerProcess(request.param, str(tmp_path))
    yield running
    running.kill()


@pytest.fixture
def environment():
    """The environment for processes that import the package."""
    return _ENVIRONMENT


@functools.cache
def _obstacle() -> str | None:
    return namespaces.why_not()


@pytest.fixture
def netns():
    """The functions of netns; a test that asks for it runs as root of its own namespace."""
    if _obstacle():
        pytest.skip(_obstacle())
    return namespaces


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Run each test that uses `netns` in a process of its own.

    A user namespace, which non-root needs, can only be entered by a process without
    threads, and never be left; so a fork runs the test and sends its reports back.
    """
    if "netns" not in item.fixturenames or _obstacle():
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _run_in_namespace(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # The runner's own last step: end what no later test needs of the tests before this one.
    item.session._setupstate.teardown_exact(nextitem)
    return True


def _run_in_namespace(item):
    hook = item.config.hook
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(item, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    status = os.waitpid(pid, 0)[1]
    if not data:
        reason = f"the test's process ended with wait status {status}, see its stderr"
        return [pytest.TestReport(item.nodeid, item.location, {}, "failed", reason, "call")]
    return [
        hook.pytest_report_from_serializable(config=item.config, data=report)
        for report in pickle.loads(data)
    ]


def _child(item, writing):
    """Run the test, send its reports and leave without any of pytest's own clean-up."""
    try:
        namespaces.become_root()
        # "Next comes its module": what modules and the session share is the parent's to end.
        reports = runtestprotocol(item, nextitem=item.parent, log=False)
        serialized = item.config.hook.pytest_report_to_serializable
        # Pickled, as JSON would turn tuples into lists, and a skip's reason is a tuple.
        data = pickle.dumps([serialized(config=item.config, report=report) for report in reports])
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)
    except BaseException:  # noqa: BLE001 - the parent sees that no report came
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    os._exit(0)


@pytest.fixture(scope="session")
def golden_stream():
    """Load a migration stream that a real QEMU made; tests/streams records them."""
    data = os.path.join(os.path.dirname(__file__), "data")

    @functools.cache
    def load(name: str) -> bytes:
        with lzma.open(os.path.join(data, f"stream-{name}.xz")) as file:
            return file.read()

    return load
