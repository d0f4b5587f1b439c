"""Wait until something can be read from a descriptor, without reading it."""

from __future__ import annotations

import asyncio


async def readable(fileno: int) -> None:
    """Return once reading from `fileno` would not block, or would say that it ended."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fileno, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fileno)
