"""A monitor that a client adds: object-add of type monitor-qmp or monitor-hmp.

QEMU: monitor/monitor.c (monitor_new), monitor/qmp.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.errors import QMPError
from qemu_sim.machine.monitor_object import MODES, MonitorObject
from qemu_sim.monitor.chardev import NOBODY

if TYPE_CHECKING:
    from qemu_sim.machine.board import Board
    from qemu_sim.monitor.monitors import Monitors

_USER = "monitor"


def plug(monitors: Monitors, board: Board, kind: str, id: str, options: dict[str, Any]) -> None:
    """Make a monitor of a chardev that is there. Raises QMPError in QEMU's words."""
    name = options["chardev"]
    chardev = board.chardevs.get(name)
    if chardev is None:
        raise QMPError(f'chardev "{name}" not found')
    board.chardevs.use(chardev, _USER)
    if not isinstance(chardev, ChardevSocket) and chardev.TYPE not in NOBODY:
        board.chardevs.release(name, _USER)
        raise QMPError(f"a monitor on chardev '{chardev.TYPE}' is not simulated by qemu-sim")
    shown = MonitorObject(id, name, MODES[kind], options)
    monitor = monitors.add(id, pretty=shown.pretty, human=shown.mode == "readline")
    board.monitors.append(shown)

    def unplug() -> None:
        """End it; its chardev stays, and so does who is connected to that."""
        board.monitors.remove(shown)
        monitors.monitors.remove(monitor)
        monitor.close()
        board.chardevs.release(name, _USER)

    def client_left() -> None:
        if shown.close_action == "delete":
            unplug()
            board.chardevs.remove(name)

    shown.unplug = unplug
    shown.set_pretty = monitor.set_pretty
    if isinstance(chardev, ChardevSocket):
        monitor.serve(chardev, client_left)
