"""HMP commands about the machine as a whole.

QEMU: hmp-commands.hx, monitor/hmp-cmds.c
"""

from __future__ import annotations

import re
from typing import Any

from qemu_sim.commands.hmp.table import Session, described, forward, hmp
from qemu_sim.errors import QMPError
from qemu_sim.machine.cpu_properties import has_cpus

# HMP name, QMP name: nothing to read, nothing to print.
_PLAIN = {
    "stop": "stop",
    "cont": "cont",
    "quit": "quit",
    "system_reset": "system_reset",
    "system_powerdown": "system_powerdown",
    "system_wakeup": "system_wakeup",
    "nmi": "inject-nmi",
    "exit_preconfig": "x-exit-preconfig",
}
# HMP name, QMP name, for those whose arguments have the same names in both.
_SAME_ARGUMENTS = {
    "set_link": "set_link",
    "balloon": "balloon",
    "watchdog_action": "watchdog-set-action",
    "set_password": "set_password",
    "expire_password": "expire_password",
    "client_migrate_info": "client_migrate_info",
    "memsave": "memsave",
    "pmemsave": "pmemsave",
    "xen-event-inject": "xen-event-inject",
}
# The same, for those of whose errors HMP prints nothing but the text.
_REPLAY = {
    "replay_break": "replay-break",
    "replay_delete_break": "replay-delete-break",
    "replay_seek": "replay-seek",
}
_ANNOUNCE = {"initial": 50, "max": 550, "rounds": 5, "step": 100}  # net/announce.c
_LIMITED = "[Please use 'info vcpu_dirty_limit' to query dirty limit for virtual CPU]\n"


def _plain(name: str, command: str) -> None:
    @hmp(name)
    async def run(session: Session) -> str:
        await session.execute(command)
        return ""


for _name, _command in _PLAIN.items():
    _plain(_name, _command)


def _replay(name: str, command: str) -> None:
    @hmp(name)
    async def run(session: Session, **arguments: Any) -> str:
        try:
            await session.execute(command, **arguments)
        except QMPError as error:
            return f"{error}\n"
        return ""


for _name, _command in _SAME_ARGUMENTS.items():
    forward(_name, _command)
for _name, _command in _REPLAY.items():
    _replay(_name, _command)


@hmp("help")
def help_(session: Session, name: str = "") -> str:
    """Print what QEMU's help says."""
    return described(session.machine, name)


@hmp("info")
def info(session: Session) -> str:
    """Print what there is to ask for."""
    return described(session.machine, "info")


@hmp("announce_self")
async def announce_self(
    session: Session, interfaces: str | None = None, id: str | None = None
) -> str:
    """Have NICs tell the network where they are; their names stand between commas."""
    named = {} if interfaces is None else {"interfaces": interfaces.split(",")}
    labelled = {} if id is None else {"id": id}
    await session.execute("announce-self", **_ANNOUNCE, **named, **labelled)
    return ""


@hmp("sendkey")
async def sendkey(session: Session, keys: str, hold_time: int | None = None) -> str:
    """Press keys; their names, or numbers such as 0x1e, stand between minus signs."""
    del hold_time
    for name in keys.split("-"):
        key: dict[str, Any] = {"type": "qcode", "data": name}
        if re.fullmatch("0x[0-9a-fA-F]+", name):
            key = {"type": "number", "data": int(name, 16)}
        try:
            await session.execute("send-key", keys=[key])
        except QMPError:
            return f"invalid parameter: {name}\n"
    return ""


@hmp("mouse_move")
def mouse_move(_session: Session, dx_str: str, dy_str: str, dz_str: str = "") -> str:
    """Move the mouse, which no guest here looks at."""
    del dx_str, dy_str, dz_str
    return ""


@hmp("mouse_button")
def mouse_button(_session: Session, button_state: int) -> str:
    """Press buttons of the mouse, which no guest here looks at."""
    del button_state
    return ""


@hmp("screendump")
async def screendump(session: Session, filename: str, **display: Any) -> str:
    """Take a picture of a display."""
    await session.execute("screendump", filename=filename, **display)
    return ""


@hmp("cpu")
def cpu(session: Session, index: int) -> str:
    """Choose the CPU that other commands look at."""
    machine = session.machine
    count = machine.options.topology.cpus if has_cpus(machine) else 0
    return "" if 0 <= index < count else "invalid CPU index\n"


@hmp("clear")
def clear(_session: Session) -> str:
    """Clear a person's screen."""
    return "\x1b[H\x1b[2J\x1b[3J"


@hmp("set_vcpu_dirty_limit")
async def set_vcpu_dirty_limit(session: Session, **limit: int) -> str:
    """Limit how fast CPUs dirty RAM."""
    await session.execute("set-vcpu-dirty-limit", **limit)
    return _LIMITED


@hmp("cancel_vcpu_dirty_limit")
async def cancel_vcpu_dirty_limit(session: Session, **which: int) -> str:
    """Let CPUs dirty RAM as fast as they do."""
    await session.execute("cancel-vcpu-dirty-limit", **which)
    return _LIMITED


@hmp("hostfwd_add")
def hostfwd_add(session: Session, arg1: str, arg2: str = "") -> str:
    """Redirect a host's port to the guest."""
    return _user_network(session, "hostfwd_add", arg1, arg2)


@hmp("hostfwd_remove")
def hostfwd_remove(session: Session, arg1: str, arg2: str = "") -> str:
    """Undo hostfwd_add."""
    return _user_network(session, "hostfwd_remove", arg1, arg2)


def _user_network(session: Session, name: str, *_arguments: str) -> str:
    if any(netdev.TYPE == "user" for netdev in session.machine.board.netdevs.values()):
        raise QMPError(f"not simulated by qemu-sim: {name}")
    return "user mode network stack not in use\n"
