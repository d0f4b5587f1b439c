"""HMP commands about the machine as a whole.

QEMU: hmp-commands.hx, monitor/hmp-cmds.c
"""

from __future__ import annotations

from qemu_sim.commands.hmp.table import Session, described, hmp
from qemu_sim.errors import QMPError

# HMP name, QMP name: nothing to read, nothing to print.
_PLAIN = {
    "stop|s": "stop",
    "cont|c": "cont",
    "quit|q": "quit",
    "system_reset": "system_reset",
    "system_powerdown": "system_powerdown",
    "system_wakeup": "system_wakeup",
    "nmi": "inject-nmi",
    "migrate_cancel": "migrate_cancel",
    "migrate_pause": "migrate-pause",
    "migrate_start_postcopy": "migrate-start-postcopy",
    "x_colo_lost_heartbeat": "x-colo-lost-heartbeat",
}
_ANNOUNCE = {"initial": 50, "max": 550, "rounds": 5, "step": 100}  # net/announce.c


def _plain(name: str, command: str) -> None:
    @hmp(name)
    async def run(session: Session) -> str:
        await session.execute(command)
        return ""


for _name, _command in _PLAIN.items():
    _plain(_name, _command)


@hmp("help|?", "topic:S?")
def help_(session: Session, topic: str) -> str:
    """Print what QEMU's help says."""
    return described(session.machine, topic)


@hmp("info")
def info(session: Session) -> str:
    """Print what there is to ask for."""
    return described(session.machine, "info")


@hmp("set_link", "name:s,up:b")
async def set_link(session: Session, name: str, up: bool) -> str:
    """Plug or pull a cable."""
    await session.execute("set_link", name=name, up=up)
    return ""


@hmp("balloon", "value:i")
async def balloon(session: Session, value: int) -> str:
    """Ask the guest for memory; `value` is in MiB."""
    await session.execute("balloon", value=value << 20)
    return ""


@hmp("watchdog_action", "action:s")
async def watchdog_action(session: Session, action: str) -> str:
    """Say what follows the watchdog."""
    await session.execute("watchdog-set-action", action=action)
    return ""


@hmp("announce_self", "interfaces:s?,id:s?")
async def announce_self(session: Session, interfaces: str | None, id: str | None) -> str:
    """Have NICs tell the network where they are; their names stand between commas."""
    named = {} if interfaces is None else {"interfaces": interfaces.split(",")}
    labelled = {} if id is None else {"id": id}
    await session.execute("announce-self", **_ANNOUNCE, **named, **labelled)
    return ""


@hmp("migrate_set_capability", "capability:s,state:b")
async def migrate_set_capability(session: Session, capability: str, state: bool) -> str:
    """Switch one capability."""
    known = [each["capability"] for each in session.machine.capabilities.query()]
    if capability not in known:
        raise QMPError(f"invalid parameter value: {capability}")
    setting = {"capability": capability, "state": state}
    await session.execute("migrate-set-capabilities", capabilities=[setting])
    return ""


@hmp("sendkey", "keys:s,hold-time:i?")
async def sendkey(session: Session, keys: str, hold_time: int | None) -> str:
    """Press keys; their names stand between minus signs."""
    names = keys.split("-")
    for name in names:
        try:
            await session.execute("send-key", keys=[{"type": "qcode", "data": name}])
        except QMPError:
            return f"invalid parameter: {name}\n"
    del hold_time
    return ""


@hmp("screendump", "filename:s,format:s?,device:s?,head:i?")
async def screendump(
    session: Session, filename: str, _format: str | None, device: str | None, head: int | None
) -> str:
    """Take a picture of a display."""
    given = {"device": device, "head": head}
    present = {name: value for name, value in given.items() if value is not None}
    await session.execute("screendump", filename=filename, **present)
    return ""
