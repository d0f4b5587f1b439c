"""The program `qemu-sim`: QEMU's command line, or one of our own subcommands.

QEMU: system/main.c, system/vl.c

A first argument without a dash that names a subcommand runs that; anything else is QEMU's.
Nothing slow is imported before the fork of -daemonize.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qemu_sim import termination
from qemu_sim.argv.parse import parse
from qemu_sim.argv.reading import Asked
from qemu_sim.argv.report import Report
from qemu_sim.deferred import OF_ASYNCIO, defer
from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import CPR_STATE, Configuration, StartError

if TYPE_CHECKING:
    from qemu_sim.daemon import Daemon
    from qemu_sim.front import Front
    from qemu_sim.host import Host
    from qemu_sim.machine.options import MachineOptions
    from qemu_sim.migration.predecessor import Predecessor

# The module's main(arguments) returns the exit status.
SUBCOMMANDS = {
    "commands": "qemu_sim.commands.listing",
    "inspect": "qemu_sim.inspect.program",
    "profile": "qemu_sim.qapi.profile_program",
    "vhost-user-blk": "qemu_sim.vhost_user_blk.program",
}


def main(argv: list[str] | None = None) -> int:
    """Run the program called as `argv`, the process's own by default; return its status."""
    program, *arguments = sys.argv if argv is None else argv
    if arguments and arguments[0] in SUBCOMMANDS:
        gc.enable()
        status: int = import_module(SUBCOMMANDS[arguments[0]]).main(arguments[1:])
        return status
    report = Report(program)
    try:
        return _obey(arguments, report)
    except StartError as error:
        for text in error.args:
            report.say(text)
        if "-qtest" in arguments:
            from qemu_sim.qtest.hang_up import hang_up  # noqa: PLC0415 - only tests need it

            hang_up(arguments)
        return 1


def _obey(arguments: list[str], report: Report) -> int:
    """Start, or answer what was asked for instead; return the exit status."""
    try:
        configuration = parse(arguments, report)
    except Asked as asked:
        sys.stdout.write(_answer(asked, report))
        return 0
    return _start(configuration, report)


def _answer(asked: Asked, report: Report) -> str:
    from qemu_sim.argv import answers  # noqa: PLC0415 - texts that a start never shows
    from qemu_sim.qapi import profile  # noqa: PLC0415

    try:
        return answers.answer(asked.topic, report.program, profile.load(asked.profile))
    except QMPError as error:
        raise StartError(f"-sim: {error}") from None


def _start(configuration: Configuration, report: Report) -> int:
    """Become what `configuration` says, run, and return the exit status. Raises StartError."""
    daemon = _daemonize() if configuration.daemonize else None
    termination.block()
    if configuration.process_name is not None:
        with open("/proc/self/comm", "wb") as file:
            file.write(os.fsencode(configuration.process_name))
    if configuration.exit_with_parent:
        termination.end_with_parent()
    if configuration.pidfile is None:
        return _run(configuration, report, daemon)
    from qemu_sim.pidfile import PidFile  # noqa: PLC0415 - few want one

    try:
        pidfile = PidFile(configuration.pidfile)
    except QMPError as error:
        raise StartError(str(error)) from None
    try:
        return _run(configuration, report, daemon)
    finally:
        pidfile.remove()


def _daemonize() -> Daemon:
    from qemu_sim.daemon import daemonize  # noqa: PLC0415 - few become one

    return daemonize()


def _run(configuration: Configuration, report: Report, daemon: Daemon | None) -> int:
    from qemu_sim.front import Front  # noqa: PLC0415 - all that takes time comes after the fork

    def meet(options: MachineOptions) -> Predecessor | None:
        if configuration.incoming_cpr is None and CPR_STATE not in os.environ:
            return None
        from qemu_sim import succession  # noqa: PLC0415 - few succeed another

        with termination.deadly():
            return succession.meet(configuration, report.say, check_peer=options.check_peer)

    front = Front(configuration, report.say, meet)
    try:
        return _serve(front, daemon)
    finally:
        front.close()


def _serve(front: Front, daemon: Daemon | None) -> int:
    defer(OF_ASYNCIO)
    import asyncio  # noqa: PLC0415 - the loop, and all that needs it, come after the greeting
    import logging  # noqa: PLC0415

    from qemu_sim.host import Host  # noqa: PLC0415
    from qemu_sim.log_handler import LogHandler  # noqa: PLC0415

    logging.getLogger("qemu_sim").addHandler(LogHandler(front.say))

    async def serve() -> int:
        host = Host(front)
        host.machine.become = partial(_become, host)

        def killed(text: str) -> None:
            front.say(text)
            host.machine.shut_down("host-signal")

        try:
            with termination.watch(asyncio.get_running_loop(), killed):
                return await _live(host, daemon.ready if daemon else _nobody_waits)
        finally:
            await host.close()

    return asyncio.run(serve())


async def _become(host: Host, command: list[str]) -> None:
    from qemu_sim import succession  # noqa: PLC0415 - few do

    await host.monitors.drain()
    with termination.deadly():
        succession.become(command, host.machine.memory)


async def _live(host: Host, ready: Callable[[], None]) -> int:
    """Start and run `host`; a signal may end it while it waits for its first client."""
    import asyncio  # noqa: PLC0415

    starting = asyncio.ensure_future(host.start())
    ended: set[asyncio.Future[Any]] = {starting, host.machine.exited}
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        ready()
        gc.freeze()  # or each full collection would look at all of it, during a hand-over, too
        gc.enable()
    else:
        starting.cancel()
        await asyncio.wait({starting})
    return await host.wait()


def _nobody_waits() -> None:
    """Be ready in the foreground, where nobody is told."""
