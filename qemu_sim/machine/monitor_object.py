"""A monitor as clients see it in the object tree.

QEMU: monitor/monitor.c, monitor/qmp.c (monitor_qmp_close_action), qapi/qom.json
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qemu_sim.errors import QMPError

TYPES = {"control": "monitor-qmp", "readline": "monitor-hmp"}
MODES = {type_name: mode for mode, type_name in TYPES.items()}


class MonitorObject:
    """A monitor on the chardev `chardev`; `mode` is "control" (QMP) or "readline" (HMP)."""

    def __init__(self, id: str, chardev: str, mode: str, options: dict[str, Any]) -> None:
        """`options` has the members of MonitorQMPProperties or MonitorHMPProperties."""
        self.id = id
        self.chardev = chardev
        self.mode = mode
        self.pretty: bool = options.get("pretty", False)
        self.close_action: str = options.get("close-action", "none")
        self.readline: bool = options.get("readline", True)
        self.unplug: Callable[[], None] | None = None  # what ends one that a client added
        self.set_pretty: Callable[[bool], None] | None = None

    @property
    def qom_type(self) -> str:
        """The type of the object."""
        return TYPES[self.mode]

    @property
    def values(self) -> dict[str, Any]:
        """The values of its properties."""
        if self.mode == "readline":
            return {"chardev": self.chardev, "readline": self.readline}
        return {"chardev": self.chardev, "pretty": self.pretty, "close-action": self.close_action}

    def set(self, name: str, value: Any) -> None:
        """Change a property. Raises QMPError for one that is not simulated."""
        if name == "close-action" and self.unplug is not None:
            self.close_action = value
        elif name == "pretty" and self.set_pretty is not None:
            self.pretty = value
            self.set_pretty(value)
        else:
            raise QMPError(
                f"Setting property '{self.qom_type}.{name}' is not simulated by qemu-sim"
            )

    def delete(self, asking: str) -> None:
        """End the monitor, unless it is the one called `asking`. Raises QMPError."""
        if self.mode == "readline":
            raise QMPError("Deleting HMP monitors is not supported")
        if self.id == asking:
            raise QMPError("Cannot delete the current QMP monitor")
        if self.unplug is None:
            text = f"deleting the monitor '{self.id}' of the command line is not simulated"
            raise QMPError(f"{text} by qemu-sim")
        self.unplug()
