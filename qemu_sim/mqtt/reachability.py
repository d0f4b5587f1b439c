"""Whether the broker is there, said once each time that changes."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qemu_sim.mqtt.broker import Broker

_log = logging.getLogger(__name__)


class Reachability:
    """Nothing is said while all goes well, and of a trouble only that it began and ended."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lost = False

    def found(self) -> None:
        """The broker takes messages."""
        if self._lost:
            _log.warning("MQTT broker %s: connected", self._broker)
        self._lost = False

    def lost(self, error: Exception) -> None:
        """It does not, or no longer."""
        level = logging.INFO if self._lost else logging.WARNING
        _log.log(level, "MQTT broker %s: %s; trying again", self._broker, _reason(error))
        self._lost = True


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)
