"""Commands about what no machine here has: they fail as on a QEMU without it.

QEMU: hw/net/rocker, target/i386/sev.c, system/dirtylimit.c and others

The text may hold arguments of the command in braces. A second text is that of QEMU 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command
from qemu_sim.errors import DeviceNotActive, DeviceNotFound, QMPError
from qemu_sim.qapi import idle

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_NEWER = (8, 0, 0)  # than 7.2
_CXL_LINE = 64  # bytes
_NO_CXL = "Unable to resolve path"
_NO_ROCKER = "rocker {name} not found"
_HAVE_PS2 = ("pc", "q35")
_PS2 = ("key", "btn", "rel")

ABSENT: dict[str, str | tuple[str, str]] = {
    "cxl-inject-correctable-error": _NO_CXL,
    "cxl-inject-dram-event": _NO_CXL,
    "cxl-inject-general-media-event": _NO_CXL,
    "cxl-inject-memory-module-event": _NO_CXL,
    "cxl-inject-uncorrectable-errors": _NO_CXL,
    "device-sync-config": "Device '{id}' not found",
    "dump-skeys": "Storage keys information not available for this architecture",
    "dumpdtb": ("This machine doesn't have an FDT", "This machine doesn't have a FDT"),
    "inject-ghes-v2-error": "GHES QMP error inject is not compiled in",
    "query-cpu-model-baseline": "CPU model baseline is not supported on this target",
    "query-cpu-model-comparison": "CPU model comparison is not supported on this target",
    "query-rocker": _NO_ROCKER,
    "query-rocker-of-dpa-flows": _NO_ROCKER,
    "query-rocker-of-dpa-groups": _NO_ROCKER,
    "query-rocker-ports": _NO_ROCKER,
    "query-sev-attestation-report": "SEV is not enabled",
    "replay-break": "setting the breakpoint is allowed only in play mode",
    "replay-seek": "replay must be enabled to seek",
    "set-cpu-topology": "CPU topology change is not supported on this target",
    "set-vcpu-dirty-limit": "dirty page limit feature requires KVM with accelerator property "
    "'dirty-ring-size' set'",
    "sev-inject-launch-secret": "SEV not enabled for guest",
    "trace-event-get-state": 'unknown event "{name}"',
    "trace-event-set-state": 'unknown event "{name}"',
    "xen-event-inject": "Xen event channel emulation not enabled",
}


def _refuse(machine: Machine, text: str | tuple[str, str], arguments: dict[str, Any]) -> None:
    if isinstance(text, tuple):
        text = text[0 if machine.profile.version >= _NEWER else 1]
    raise QMPError(text.format_map(arguments))


def _register(name: str, text: str | tuple[str, str]) -> None:
    @command(name, raw=True)
    def run(machine: Machine, arguments: dict[str, Any]) -> None:
        for value in arguments.values():
            if isinstance(value, str) and _is_there(machine, value):
                raise QMPError(f"not simulated by qemu-sim: {name} of '{value}'")
        _refuse(machine, text, arguments)


def _is_there(machine: Machine, name: str) -> bool:
    """Whether a chardev or device has that ID or path, so that the refusal would be wrong."""
    paths = (device.path for device in machine.board.devices)
    return (
        name in machine.board.chardevs
        or any(device.id == name for device in machine.board.devices)
        or name.startswith(tuple(paths))
    )


for _name, _text in ABSENT.items():
    _register(_name, _text)


@command("cxl-inject-poison")
def cxl_inject_poison(_: Machine, *, path: str, start: int, length: int) -> None:
    """Refuse: there is no CXL device."""
    del path, start
    if length % _CXL_LINE:
        raise QMPError(f"Poison injection must be in multiples of {_CXL_LINE} bytes")
    raise QMPError(_NO_CXL)


@command("client_migrate_info")
def client_migrate_info(_: Machine, *, protocol: str, **client: Any) -> None:
    """Refuse: there is no display that a client could follow."""
    del client
    if protocol == "spice":
        raise DeviceNotActive("SPICE is not in use")
    raise QMPError("Parameter 'protocol' expects 'spice'")


@command("send-key", raw=True)
def send_key(_machine: Machine, _arguments: dict[str, Any]) -> None:
    """Press keys of a keyboard that nobody reads, which QEMU allows, too."""


@command("input-send-event")
def input_send_event(
    machine: Machine, *, events: list[dict[str, Any]], device: str | None = None, head: int = 0
) -> None:
    """Move a mouse that nobody looks at; a display to name does not exist."""
    del head
    if device is not None:
        raise DeviceNotFound(f"Device '{device}' not found")
    if not machine.is_running:
        raise QMPError("VM not running")
    handled = _PS2 if idle.family(machine.machine_type) in _HAVE_PS2 else ()
    for event in events:
        if event["type"] not in handled:
            raise QMPError(f"Input handler not found for event type {event['type']}")


@command("query-stats", raw=True)
def query_stats(_machine: Machine, _arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Return no figures: KVM and cryptodev, which have some, count nothing here."""
    return []
