"""What a TAP hands over beside its queues, and how the other side checks both.

Every check here only asks the kernel. A queue is changed by nobody before all of them
have passed, because until then it may be somebody else's descriptor.
"""

from __future__ import annotations

import errno
from typing import Any

from qemu_sim.backends.tap import Tap
from qemu_sim.errors import MigrationError
from qemu_sim.fds import Fd, TaggedFd, close_all, find_same
from qemu_sim.io import tun

_ROLE = "queue"
_NOT_A_TAP = {
    errno.ENOTTY: "is not a TAP",
    errno.EBADFD: "is not attached to an interface",
}


def tap_state(tap: Tap) -> tuple[dict[str, Any], list[TaggedFd]]:
    """Return the state (JSON) and the borrowed queues of an open TAP.

    The interface's MAC and network namespace tell it from another one of the same name.
    """
    first = tap.queues[0]
    state = {
        "ifname": tap.name,
        "vnet-hdr-length": tap.header_length,
        "offloads": 0,  # the simulated guest negotiates none
        "enabled": tap.enabled,
        "mac": tun.hardware_address(first).hex(":"),
        "netns": tun.network_namespace(first),
    }
    return state, [TaggedFd(_ROLE, index, fd) for index, fd in enumerate(tap.queues)]


def tap_of(wanted: dict[str, Any], state: dict[str, Any], fds: list[TaggedFd]) -> Tap:
    """Return the TAP that `fds` are the queues of.

    `wanted` is the destination's identity, `state` what `tap_state` returned on the source.
    Raises MigrationError when they are not just that; `fds` stay the caller's then.
    """
    queues = _in_order(fds, wanted["queues"])
    length = _number(state, "vnet-hdr-length")
    enabled = _number(state, "enabled")
    if (length > 0) != wanted["vnet-hdr"]:
        raise MigrationError(f"vnet-hdr is {wanted['vnet-hdr']}, but its length {length}")
    for index, fd in enumerate(queues):
        _check_queue(f"queue {index}", fd, wanted, enabled > index)
    _check_interface(queues[0], state, length)
    _check_distinct(queues)
    return Tap(wanted["ifname"], queues, length, enabled)


def received_tap(queues: list[Fd], header_length: int, enabled: int) -> Tap:
    """Return a TAP of queues that nobody has checked.

    Raises MigrationError, with `queues` closed, for what cannot even be waited for.
    """
    try:
        name = tun.interface(queues[0]).name
    except OSError:
        name = "(none)"  # no TAP, as will be seen when it is read
    try:
        tap = Tap(name, queues, header_length)
    except OSError as error:
        close_all(queues)
        raise MigrationError(f"the descriptor is no TAP: {error.strerror}") from None
    tap.enabled = enabled
    return tap


def _number(state: dict[str, Any], key: str) -> int:
    value = state.get(key)
    if not isinstance(value, int):
        raise MigrationError(f"the TAP's state lacks {key}")
    return value


def _in_order(fds: list[TaggedFd], count: int) -> list[Fd]:
    for tagged in fds:
        if tagged.role != _ROLE:
            raise MigrationError(f"a TAP has no descriptor of the role {tagged.role}")
    if len(fds) != count:
        raise MigrationError(f"received {len(fds)} queues of the TAP, expected {count}")
    by_index = {tagged.index: tagged.fd for tagged in fds}
    if sorted(by_index) != list(range(count)):
        raise MigrationError(f"the TAP's queues are numbered {[tagged.index for tagged in fds]}")
    return [by_index[index] for index in range(count)]


def _check_queue(label: str, fd: Fd, wanted: dict[str, Any], enabled: bool) -> None:
    try:
        name, flags = tun.interface(fd)
    except OSError as error:
        reason = _NOT_A_TAP.get(error.errno or 0, f"cannot be queried: {error.strerror}")
        raise MigrationError(f"{label}: the descriptor {reason}") from error
    if flags & tun.IFF_TYPE_MASK != tun.IFF_TAP:
        raise MigrationError(f"{label}: {name} is a tun interface, not a TAP")
    if name != wanted["ifname"]:
        raise MigrationError(f"{label}: belongs to {name}, expected {wanted['ifname']}")
    facts = (
        ("vnet_hdr", bool(flags & tun.IFF_VNET_HDR), wanted["vnet-hdr"]),
        ("multi_queue", bool(flags & tun.IFF_MULTI_QUEUE) or wanted["queues"] == 1, True),
        ("enabled", not flags & tun.IFF_DETACH_QUEUE, enabled),
    )
    for fact, found, expected in facts:
        if found != expected:
            raise MigrationError(f"{label}: {fact} is {found}, expected {expected}")


def _check_interface(fd: Fd, state: dict[str, Any], length: int) -> None:
    """Compare what belongs to the interface, hence is the same for all its queues."""
    found = tun.header_length(fd) if length else 0
    if found != length:
        raise MigrationError(f"the TAP's vnet header has {found} bytes, expected {length}")
    mac = tun.hardware_address(fd).hex(":")
    if mac != state.get("mac"):
        raise MigrationError(f"the TAP's MAC is {mac}, expected {state.get('mac')}: another TAP")
    netns = tun.network_namespace(fd)
    if None not in (netns, state.get("netns")) and netns != state["netns"]:
        raise MigrationError("the TAP is in another network namespace than the source's")


def _check_distinct(queues: list[Fd]) -> None:
    """Find one open file given twice: a queue that is missing would swallow its frames."""
    try:
        same = find_same([fd.fileno() for fd in queues])
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return  # some containers forbid kcmp; the kernel's own counts must do
        raise
    if same is not None:
        raise MigrationError(f"queues {same[0]} and {same[1]} of the TAP are the same open file")
