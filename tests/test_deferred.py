"""Modules that are loaded when they are first used."""

from __future__ import annotations

import subprocess
import sys

from qemu_sim import deferred


def _python(*lines: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_asyncio_works_without_what_is_deferred_and_with_it():
    printed = _python(
        "import sys",
        "from qemu_sim.deferred import OF_ASYNCIO, defer",
        "defer(OF_ASYNCIO)",
        "import asyncio",
        "asyncio.run(asyncio.sleep(0))",
        "print('_ssl' in sys.modules, end=' ')",
        "import asyncio.base_events as user, ssl",
        "context = user.ssl.create_default_context()",
        "async def secured():",
        "    server = await asyncio.start_server(print, '127.0.0.1', 0, ssl=context)",
        "    server.close()",
        "asyncio.run(secured())",
        "print(sys.modules['ssl'].SSLContext is type(context))",
    )
    assert printed == "False True"


def test_what_a_module_lacks_is_said_as_python_says_it():
    printed = _python(
        "from qemu_sim.deferred import defer",
        "defer(('textwrap',))",
        "import textwrap",
        "try: textwrap.nothing",
        "except AttributeError as error: print(error)",
    )
    assert printed == "module 'textwrap' has no attribute 'nothing'"


def test_a_module_that_is_loaded_stays():
    before = sys.modules["subprocess"]
    deferred.defer(("subprocess",))
    assert sys.modules["subprocess"] is before
