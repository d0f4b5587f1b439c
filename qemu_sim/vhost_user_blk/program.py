"""The command `qemu-sim vhost-user-blk`: serve one image until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.vhost_user_blk.raw_image import RawImage
from qemu_sim.vhost_user_blk.server import Server


def main(argv: list[str]) -> int:
    """Run the command with the arguments behind its name; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="qemu-sim vhost-user-blk", description="Serve a raw image over vhost-user-blk."
    )
    parser.add_argument("--socket", required=True, metavar="PATH", help="unix socket to listen on")
    parser.add_argument("--image", required=True, metavar="FILE", help="raw image, written to")
    parser.add_argument("--log", metavar="FILE", help="append each message as a JSON line")
    options = parser.parse_args(argv)
    try:
        asyncio.run(_serve(options.socket, options.image, options.log))
    except (QMPError, OSError) as error:
        sys.stderr.write(f"qemu-sim vhost-user-blk: {error}\n")
        return 1
    return 0


async def _serve(path: str, image_path: str, log_path: str | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with contextlib.ExitStack() as stack:
        image = stack.enter_context(_open(image_path, os.O_RDWR))
        log = None
        if log_path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            log = stack.enter_context(_open(log_path, flags))
        server = Server(path, RawImage(image), log)
        stack.callback(server.close)
        await stopped.wait()


def _open(path: str, flags: int) -> Fd:
    try:
        return Fd(os.open(path, flags | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise QMPError(f"Could not open '{path}': {error.strerror}") from None
