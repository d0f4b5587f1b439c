"""HMP commands that add and remove devices, netdevs, chardevs and objects.

QEMU: hmp-commands.hx, monitor/hmp-cmds.c
"""

from __future__ import annotations

from qemu_sim.commands.hmp.table import Session, forward, hmp
from qemu_sim.commands.registry import named_fds
from qemu_sim.errors import QMPError
from qemu_sim.qapi import chardev_opts
from qemu_sim.qapi.keyval import parse_keyval
from qemu_sim.qapi.opts import Opts

# HMP name, QMP name, for those whose arguments have the same names in both.
_SAME_ARGUMENTS = {
    "device_del": "device_del",
    "netdev_del": "netdev_del",
    "object_del": "object-del",
    "chardev-remove": "chardev-remove",
    "chardev-send-break": "chardev-send-break",
    "ringbuf_write": "ringbuf-write",
    "getfd": "getfd",
    "closefd": "closefd",
}

for _name, _command in _SAME_ARGUMENTS.items():
    forward(_name, _command)


@hmp("device_add")
async def device_add(session: Session, device: Opts) -> str:
    """Plug a device."""
    id, options = device
    driver = options.pop("driver", None)
    if driver is None:
        raise QMPError("Parameter 'driver' is missing")
    if session.machine.migration.forbids_plugging:
        raise QMPError("device_add not allowed while migrating")
    board = session.machine.board
    made = await board.add_device(driver, id, options, typed=False, hotplug=True)
    if made is not None and session.machine.is_running:
        made.run()
    return ""


@hmp("netdev_add")
async def netdev_add(session: Session, netdev: Opts) -> str:
    """Make a netdev."""
    id, options = netdev
    given = options if id is None else {**options, "id": id}
    checked = session.machine.schema.check_keyval("netdev_add", given)
    fds = named_fds(session.monitor, checked.get("fd") or checked.get("fds"))
    board = session.machine.board
    await board.netdevs.add(checked.pop("type"), checked.pop("id"), checked, fds)
    return ""


@hmp("object_add")
async def object_add(session: Session, object: str) -> str:
    """Make an object."""
    schema = session.machine.schema
    options = parse_keyval(object, "qom-type")  # by the newer parser, unlike -object
    checked = schema.keyval_validator.check(schema.by_name["object-add"]["arg-type"], options)
    session.machine.board.add_object(checked.pop("qom-type"), checked.pop("id"), checked)
    return ""


@hmp("chardev-add")
async def chardev_add(session: Session, args: str) -> str:
    """Make a chardev."""
    id, options = _chardev_options(session, args)
    if id is None:
        raise QMPError("chardev: no id specified")
    made = chardev_opts.chardev_arguments(id, options)
    await session.execute("chardev-add", id=id, backend=made["backend"])
    return ""


@hmp("chardev-change")
async def chardev_change(session: Session, id: str, args: str) -> str:
    """Put another chardev in the place of one."""
    _, options = _chardev_options(session, args)
    made = chardev_opts.chardev_arguments(id, options)
    await session.execute("chardev-change", id=id, backend=made["backend"])
    return ""


@hmp("ringbuf_read")
async def ringbuf_read(session: Session, device: str, size: int) -> str:
    """Print what a ring buffer holds, with what cannot be printed as a number."""
    data: str = await session.execute("ringbuf-read", device=device, size=size)
    return "".join(map(_printed, data)) + "\n"


def _chardev_options(session: Session, args: str) -> Opts:
    group = chardev_opts.group(session.machine.profile.version)
    return group.parse(args, lambda _warning: None)


def _printed(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character in "\n\t" or (character >= " " and character != "\x7f"):
        return character
    return f"\\u{ord(character):04X}"
