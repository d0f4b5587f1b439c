"""A monitor as clients see it in the object tree.

QEMU: monitor/monitor.c, qapi/qom.json (MonitorQMPProperties)
"""

from __future__ import annotations

from typing import Any, NamedTuple

_TYPES = {"control": "monitor-qmp", "readline": "monitor-hmp"}


class MonitorObject(NamedTuple):
    """A monitor on the chardev `chardev`; `mode` is "control" (QMP) or "readline" (HMP)."""

    id: str
    chardev: str
    mode: str
    pretty: bool

    @property
    def qom_type(self) -> str:
        """The type of the object."""
        return _TYPES[self.mode]

    @property
    def values(self) -> dict[str, Any]:
        """The values of its properties."""
        if self.mode == "readline":
            return {"chardev": self.chardev, "readline": True}
        return {"chardev": self.chardev, "pretty": self.pretty, "close-action": "none"}
