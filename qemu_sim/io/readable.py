"""Wait until something can be read from a descriptor, without reading it."""

from __future__ import annotations

import asyncio
import select


async def readable(fileno: int) -> None:
    """Return once reading from `fileno` would not block, or would say that it ended."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fileno, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fileno)


async def has_input(fileno: int) -> None:
    """Return once there is data, or the end of a socket's.

    The end of a pipe alone is nothing to read (poll(2), POLLHUP without POLLIN): QEMU goes
    on waiting then, for ever, and so does this.
    """
    await readable(fileno)
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    if not any(found & select.POLLIN for _, found in poll.poll(0)):
        await asyncio.get_running_loop().create_future()
