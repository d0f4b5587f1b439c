"""What many tests share: a network namespace of their own, for root and non-root alike."""

from __future__ import annotations

import functools
import os
import pickle
import sys
import traceback

import pytest
from _pytest.runner import runtestprotocol

from qemu_sim.testing import netns as namespaces


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
