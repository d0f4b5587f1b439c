"""HMP's "info": what QMP's queries answer, for a person.

QEMU: hmp-commands-info.hx, hw/core/machine-hmp-cmds.c, net/net.c (hmp_info_network),
system/qdev-monitor.c (qdev_print), chardev/char-hmp-cmds.c
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from qemu_sim.backends.netdev_hubport import HubPort
from qemu_sim.commands.hmp.table import Session, hmp
from qemu_sim.errors import QMPError
from qemu_sim.machine.nics import nics

if TYPE_CHECKING:
    from qemu_sim.backends.netdev import Netdev
    from qemu_sim.devices.network_device import NetworkDevice

# Queries that answer text for a person already.
_TEXTS = {
    "accel": "x-accel-stats",
    "irq": "x-query-irq",
    "numa": "x-query-numa",
    "roms": "x-query-roms",
    "usb": "x-query-usb",
}
# Queries whose answer is always an error, or of which nothing is printed.
_SILENT = {
    "tpm": "query-tpm",
    "vm-generation-id": "query-vm-generation-id",
}
_NEWER = (8, 0, 0)  # than 7.2: `info cpus` names the model


def _text(name: str, command: str) -> None:
    @hmp(f"info {name}")
    async def run(session: Session) -> str:
        found: dict[str, str] = await session.execute(command)
        return found["human-readable-text"]


def _silent(name: str, command: str) -> None:
    @hmp(f"info {name}")
    async def run(session: Session) -> str:
        if await session.execute(command):
            raise QMPError(f"not simulated by qemu-sim: info {name}")
        return ""


for _name, _command in _TEXTS.items():
    _text(_name, _command)
for _name, _command in _SILENT.items():
    _silent(_name, _command)


@hmp("info status")
async def status(session: Session) -> str:
    """Print whether the guest runs, and why not."""
    found = await session.execute("query-status")
    if found["running"]:
        return "VM status: running\n"
    reason = "" if found["status"] == "paused" else f" ({found['status']})"
    return f"VM status: paused{reason}\n"


@hmp("info name")
async def name(session: Session) -> str:
    """Print the guest's name, if it has one."""
    found = await session.execute("query-name")
    return f"{found['name']}\n" if "name" in found else ""


@hmp("info version")
async def version(session: Session) -> str:
    """Print the version; the package follows without a gap, as in QEMU."""
    found = await session.execute("query-version")
    numbers = found["qemu"]
    return f"{numbers['major']}.{numbers['minor']}.{numbers['micro']}{found['package']}\n"


@hmp("info uuid")
async def uuid(session: Session) -> str:
    """Print the UUID."""
    found = await session.execute("query-uuid")
    return f"{found['UUID']}\n"


@hmp("info chardev")
async def chardev(session: Session) -> str:
    """Print the chardevs."""
    found = await session.execute("query-chardev")
    return "".join(f"{each['label']}: filename={each['filename']}\n" for each in found)


@hmp("info network")
def network(session: Session) -> str:
    """Print the NICs with the netdevs behind them, then the netdevs that no NIC uses."""
    board = session.machine.board
    used = {nic.netdev_id for nic in nics(board).values()}
    lines = _hubs(board.netdevs)
    lines += [
        _netdev(netdev)
        for id, netdev in board.netdevs.items()
        if id not in used and not isinstance(netdev, HubPort)
    ]
    for each, nic in nics(board).items():
        lines += _nic(each, nic, board.netdevs)
    return "".join(f"{line}\n" for line in lines)


def _hubs(netdevs: Mapping[str, Netdev]) -> list[str]:
    """Return the hubs with their ports, the newest first."""
    ports: dict[int, list[str]] = {}
    for id, netdev in netdevs.items():
        if isinstance(netdev, HubPort):
            ports.setdefault(netdev.hub, []).insert(0, f" \\ {id}")
    return [line for hub in reversed(ports) for line in (f"hub {hub}", *ports[hub])]


def _nic(name: str, nic: NetworkDevice, netdevs: Mapping[str, Netdev]) -> Iterator[str]:
    yield f"{name}: index=0,type=nic,model={nic.TYPE},macaddr={nic.mac}"
    if nic.netdev_id is not None:
        yield f" \\ {_netdev(netdevs[nic.netdev_id])}"


def _netdev(netdev: Netdev) -> str:
    return f"{netdev.id}: index=0,type={netdev.TYPE},{netdev.info}"


@hmp("info cpus")
async def cpus(session: Session) -> str:
    """Print the CPUs and their threads; a star marks the one that HMP looks at."""
    lines = []
    for cpu in await session.execute("query-cpus-fast"):
        mark = " " if cpu["cpu-index"] else "*"
        model = ""
        if session.machine.profile.version >= _NEWER:
            model = f" model={cpu['qom-type'].removesuffix('-x86_64-cpu')}"
        lines.append(f"{mark} CPU #{cpu['cpu-index']}: thread_id={cpu['thread-id']}{model}\n")
    return "".join(lines)


@hmp("info hotpluggable-cpus")
async def hotpluggable_cpus(session: Session) -> str:
    """Print every CPU that the machine could have."""
    lines = []
    for cpu in await session.execute("query-hotpluggable-cpus"):
        lines += [f'type: "{cpu["type"]}"', f'vcpus_count: "{cpu["vcpus-count"]}"']
        if "qom-path" in cpu:
            lines.append(f'qom_path: "{cpu["qom-path"]}"')
        lines.append("CPUInstance Properties:")
        members = ("node-id", "socket-id", "die-id", "module-id", "core-id", "thread-id")
        props = cpu["props"]
        lines += [f'  {member}: "{props[member]}"' for member in members if member in props]
    return "Hotpluggable CPUs:\n" + "".join(f"  {line}\n" for line in lines)


@hmp("info mice")
async def mice(session: Session) -> str:
    """Print the mice; a star marks the one in use."""
    found = await session.execute("query-mice")
    lines = [
        f"{'*' if mouse['current'] else ' '} Mouse #{mouse['index']}: {mouse['name']}"
        f"{' (absolute)' if mouse['absolute'] else ''}\n"
        for mouse in found
    ]
    return "".join(lines) or "No mouse devices connected\n"


@hmp("info kvm")
async def kvm(session: Session) -> str:
    """Print whether KVM is used."""
    found = await session.execute("query-kvm")
    return f"kvm support: {'enabled' if found['enabled'] else 'disabled'}\n"


@hmp("info memdev")
async def memdev(session: Session) -> str:
    """Print the memory backends."""
    lines = []
    for backend in await session.execute("query-memdev"):
        lines += [f"memory backend: {backend['id']}", f"  size:  {backend['size']}"]
        members = ("merge", "dump", "prealloc", "share", "reserve", "policy")
        lines += [f"  {member}: {_plain(backend[member])}" for member in members]
        lines.append("  host nodes: ")
    return "".join(f"{line}\n" for line in [*lines, ""])


@hmp("info memory-devices")
async def memory_devices(session: Session) -> str:
    """Print the memory that was plugged."""
    lines = []
    for each in await session.execute("query-memory-devices"):
        data = each["data"]
        lines += [f'Memory device [{each["type"]}]: "{data.get("id", "")}"']
        lines.append(f"  addr: 0x{data['addr']:x}")
        members = ("slot", "node", "size", "memdev", "hotplugged", "hotpluggable")
        lines += [f"  {member}: {_plain(data[member])}" for member in members]
    return "".join(f"{line}\n" for line in lines)


@hmp("info balloon")
async def balloon(session: Session) -> str:
    """Print how much memory the balloon leaves the guest, in MiB."""
    found = await session.execute("query-balloon")
    return f"balloon: actual={found['actual'] >> 20}\n"


@hmp("info memory_size_summary")
async def memory_size_summary(session: Session) -> str:
    """Print how much RAM there is."""
    found = await session.execute("query-memory-size-summary")
    base, plugged = found["base-memory"], found["plugged-memory"]
    return f"base memory: {base}\nplugged memory: {plugged}\n"


@hmp("info iothreads")
async def iothreads(session: Session) -> str:
    """Print the iothreads."""
    lines = []
    members = ("thread-id", "poll-max-ns", "poll-grow", "poll-shrink", "poll-weight")
    for each in await session.execute("query-iothreads"):
        lines.append(f"{each['id']}:")
        shown = [member for member in (*members, "aio-max-batch") if member in each]
        lines += [f"  {_spelled(member)}={each[member]}" for member in shown]
    return "".join(f"{line}\n" for line in lines)


@hmp("info vnc")
def vnc(session: Session) -> str:
    """Print the VNC displays, where they listen, and their clients."""
    lines: list[str] = []
    for display in session.machine.displays.values():
        auth = f"Auth: {display.auth} (Sub: none)"
        lines.append(f"{display.id}:")
        for server in display.servers:
            lines += [f"  Server: {_end(server)}", f"    {auth}"]
        for client in display.clients:
            lines += [
                f"  Client: {_end(client.info)}",
                "    x509_dname: none",
                "    username: none",
            ]
        if not display.servers:
            lines.append(f"  {auth}")
    return "".join(f"{line}\n" for line in lines) or "None\n"


def _end(info: dict[str, Any]) -> str:
    return f"{info['host']}:{info['service']} ({info['family']})"


@hmp("info spice")
def spice(_session: Session) -> str:
    """Print the SPICE server: none."""
    return "Server: disabled\n"


@hmp("info replay")
def replay(_session: Session) -> str:
    """Print whether a run is recorded or replayed: neither."""
    return "Record/replay is not active\n"


@hmp("info dump")
async def dump(session: Session) -> str:
    """Print how far a dump is."""
    found = await session.execute("query-dump")
    return f"Status: {found['status']}\n"


@hmp("info history")
def history(_session: Session) -> str:
    """Print the lines typed before: none is kept."""
    return ""


@hmp("info qtree")
def info_qtree(session: Session, *, brief: bool = False) -> str:
    """Print the buses with the devices on them, and what these are like unless `brief`."""
    from qemu_sim.machine import qtree  # noqa: PLC0415 - few people ask

    return "".join(f"{line}\n" for line in qtree.lines(session.machine, brief=brief))


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _spelled(member: str) -> str:
    return member if member == "aio-max-batch" else member.replace("-", "_")
