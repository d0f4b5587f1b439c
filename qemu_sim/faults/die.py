"""The process is killed at a point of the migration."""

from __future__ import annotations

import asyncio
import os
import signal


class Die:
    """SIGKILL: nothing is cleaned up, no last word is sent."""

    TYPE = "die"
    NOT_AT = ()

    async def strike(self) -> None:
        """Kill this process."""
        os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.get_running_loop().create_future()
