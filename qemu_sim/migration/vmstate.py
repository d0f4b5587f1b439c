"""What a section holds: a device's state, or a backend and its descriptors.

QEMU: migration/vmstate.c; docs/devel/migration/main.rst

A device's section is named by its QOM path, a backend's by the same path and "/backend".
The payload is a u32 length and JSON; behind a backend's come its descriptors, each on a
0x20 byte of its own, in the order the JSON announces them. RAM and the run state are laid
out as QEMU's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from qemu_sim.errors import LoadError, MigrationError, WireError
from qemu_sim.fds import Fd, TaggedFd, close_all
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from qemu_sim.migration.carried import Carried
    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.transfer import Transferable

PATH_PREFIX = "/machine/"
BACKEND_SUFFIX = "/backend"
NET_TAP = "net-tap"
GLOBAL_STATE = "globalstate"
RAM = "ram"
VERSION = 1
_NO_FDS = "Channel does not support file descriptor passing: Invalid argument"
RAM_VERSION = 4
_PIECE = 64 << 10
_GLOBAL_STATE_FIELDS: list[dict[str, Any]] = [
    {"name": "size", "type": "uint32", "size": 4},
    {"name": "runstate", "type": "buffer", "size": 32},
    {"name": "has_vm_was_suspended", "type": "uint8", "size": 1},
    {"name": "vm_was_suspended", "type": "uint8", "size": 1},
    {"name": "unused", "type": "buffer", "size": 66},
]
_SOURCE_STATES = frozenset(
    {"running", "suspended", "paused", "prelaunch", "postmigrate", "shutdown"}
    | {"io-error", "watchdog", "internal-error", "guest-panicked"}  # of a real QEMU alone
)
_NOT_A_STATE = "error while loading state for instance 0x0 of device 'globalstate'"


class Writer(Protocol):
    """Where sections are written to: a stream, or a package in it."""

    @property
    def carries_fds(self) -> bool:
        """Whether descriptors can travel."""

    def write(self, data: bytes | memoryview, fds: Sequence[Fd] = ()) -> None:
        """Write `data`, with `fds` on its first byte."""

    def send_now(self, data: bytes) -> None:
        """Write `data` without waiting for more."""

    def trace(self, direction: str, what: dict[str, Any], fds: int) -> None:
        """Tell what passes."""


# A QEMU looks for a section by its ID among all it knows, of which those that have not come
# yet have 0: it would take a part of our RAM for one of its timer's.
_FIRST_ID = 1


class Sections:
    """Writes sections and remembers them for the closing description."""

    def __init__(self, stream: Writer, first_id: int = _FIRST_ID) -> None:
        self._stream = stream
        self._described: list[dict[str, Any]] = []
        self.next_id = first_id

    def write_device(self, name: str, state: dict[str, Any], tap: Carried | None) -> None:
        """Write a device's FULL section; with it goes the TAP behind it, if that travels so."""
        if tap is not None and tap.has_sections:
            self._write_queues(tap)
            tap = None
        section = self._begin(vmstream.FULL, name, VERSION)
        payload = vmstream.state(state)
        self._stream.write(vmstream.section_start(section) + payload)
        fields = _state_fields(payload)
        if tap is not None:
            for index in range(len(tap.states)):
                fields += self._queue(tap, index)
            fields += tap.tail_fields
            self._stream.write(tap.tail)
        # At once: the destination reads it while we make the next one.
        self._stream.send_now(vmstream.footer(section.id))
        self._describe(section, fields)

    def write_global_state(self, run_state: str, *, asleep: bool) -> None:
        """Write the run state that the destination is to go on in."""
        section = self._begin(vmstream.FULL, GLOBAL_STATE, VERSION)
        payload = vmstream.global_state(run_state, asleep=asleep)
        head = vmstream.section_start(section)
        self._stream.write(head + payload + vmstream.footer(section.id))
        self._describe(section, _GLOBAL_STATE_FIELDS)

    def write_backend(
        self, name: str, state: dict[str, Any], fds: list[TaggedFd], riders: list[list[Fd]]
    ) -> None:
        """Write a backend's FULL section, announcing `fds`.

        `riders` are what really rides on each descriptor byte; all stay the caller's.
        """
        section = self._begin(vmstream.FULL, name, VERSION)
        announced = [[tagged.role, tagged.index] for tagged in fds]
        payload = vmstream.state({"state": state, "fds": announced})
        self._stream.write(vmstream.section_start(section) + payload)
        for riding in riders:
            self._stream.write(vmstream.FD_BYTE, riding)
        self._stream.trace("out", {"descriptors": name}, sum(map(len, riders)))
        self._stream.write(vmstream.footer(section.id))
        fd = {"name": "fd", "type": "fd", "size": 1}
        self._describe(section, [*_state_fields(payload), *[fd] * len(fds)])

    def start_ram(self) -> int:
        """Begin RAM's START section, which no description covers; returns its section ID."""
        section = self._begin(vmstream.START, RAM, RAM_VERSION)
        self._stream.write(vmstream.section_start(section))
        return section.id

    def close(self, configuration: dict[str, Any]) -> None:
        """Write the end of the sections, and the description, which begins with `configuration`."""
        end = bytes([vmstream.EOF])
        self._stream.write(end + vmstream.description(configuration, self._described))

    def _write_queues(self, tap: Carried) -> None:
        for index in range(len(tap.states)):
            section = self._begin(vmstream.FULL, f"{tap.name}/{NET_TAP}", 0, index)
            self._stream.write(vmstream.section_start(section))
            fields = self._queue(tap, index)
            self._stream.write(vmstream.footer(section.id))
            self._describe(section, fields)

    def _queue(self, tap: Carried, index: int) -> list[dict[str, Any]]:
        if not self._stream.carries_fds:
            raise MigrationError(_NO_FDS)
        self._stream.write(vmstream.FD_BYTE, tap.riders[index])
        self._stream.trace("out", {"descriptors": tap.name}, len(tap.riders[index]))
        self._stream.write(tap.states[index])
        return tap.fields

    def _begin(self, kind: int, name: str, version: int, instance: int = 0) -> vmstream.Section:
        section = vmstream.Section(kind, self.next_id, name, instance, version)
        self._stream.trace("out", {"section": name}, 0)
        self.next_id += 1
        return section

    def _describe(self, section: vmstream.Section, fields: list[dict[str, Any]]) -> None:
        self._described.append(
            {
                "name": section.name,
                "instance_id": section.instance,
                "vmsd_name": section.name,
                "version": section.version,
                "fields": fields,
            }
        )


def _state_fields(payload: bytes) -> list[dict[str, Any]]:
    return [
        {"name": "length", "type": "uint32", "size": 4},
        {"name": "state", "type": "buffer", "size": len(payload) - 4},
    ]


async def read_run_state(reader: vmstream.Reader) -> tuple[str, bool]:
    """Read the source's run state, and whether its guest slept before it was stopped.

    Raises WireError for a run state that no source is in.
    """
    name, asleep = await vmstream.read_global_state(reader)
    if name not in _SOURCE_STATES:
        hook = "post load hook failed for: globalstate, version_id: 1, minimum_version: 1, ret: -22"
        raise LoadError(
            f"{_NOT_A_STATE}: {hook}",
            older=_NOT_A_STATE,
            printed=f"invalid parameter value: {name}",
        )
    return name, asleep


async def read_description(reader: vmstream.Reader) -> None:
    """Read the description, which says nothing that our own sections do not."""
    kind = await vmstream.read_byte(reader)
    if kind != vmstream.VMDESCRIPTION:
        raise WireError(f"description expected, got section type {kind}")
    left = await vmstream.read_u32(reader)
    while left:
        left -= len(await reader.read(min(left, _PIECE)))


def load_device(device: Transferable, state: dict[str, Any]) -> None:
    """Give a device its state. Raises MigrationError when it is not one."""
    try:
        device.load(state)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MigrationError(f"Device '{device.name}': malformed state: {error!r}") from None


async def read_backend(stream: Stream, device: str) -> tuple[dict[str, Any], list[TaggedFd]]:
    """Read a backend's payload; the caller owns the descriptors.

    Raises MigrationError naming device, role and index of a descriptor that is missing.
    """
    payload = await vmstream.read_state(stream)
    state, announced = payload.get("state"), payload.get("fds")
    if not isinstance(state, dict) or not isinstance(announced, list):
        raise MigrationError(f"{device}: malformed state of a backend")
    fds: list[TaggedFd] = []
    try:
        for tag in announced:
            role, index = _tag(device, tag)
            what = f"{device}: descriptor {role}[{index}] of {len(announced)}"
            fds.append(TaggedFd(role, index, await stream.read_fd(what)))
    except BaseException:
        close_all(tagged.fd for tagged in fds)
        raise
    return state, fds


def _tag(device: str, tag: Any) -> tuple[str, int]:
    match tag:
        case [str(role), int(index)]:
            return role, index
    raise MigrationError(f"{device}: malformed descriptor tag {tag!r}")
