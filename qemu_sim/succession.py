"""A process that goes on with the machine of another, or leaves its own to the next program.

QEMU: migration/cpr.c (cpr_state_load), migration/cpr-exec.c
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, NoReturn

from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.fds import Fd
from qemu_sim.machine.configuration import CPR_STATE, StartError
from qemu_sim.migration import predecessor
from qemu_sim.wire import cpr

if TYPE_CHECKING:
    from collections.abc import Callable

    from qemu_sim.machine.configuration import Configuration
    from qemu_sim.migration.predecessor import Predecessor
    from qemu_sim.virtio.memory import GuestMemory


def meet(
    configuration: Configuration, say: Callable[[str], None], *, check_peer: bool
) -> Predecessor | None:
    """Return what an earlier program of this process left, or else wait at `-incoming cpr`.

    None where there is neither. Raises StartError in QEMU's words.
    """
    given = configuration.incoming_cpr
    state = os.environ.pop(CPR_STATE, None)
    try:
        if state is not None:
            if given is not None:
                say("warning: ignoring cpr channel for migration mode cpr-exec")
            return predecessor.inherit(Fd(int(state)))
        if given is not None:
            address = given.values["channel"]["addr"]
            return predecessor.await_source(address, check_peer=check_peer)
    except (QMPError, WireError) as error:
        raise StartError(str(error)) from None
    return None


def become(command: list[str], memory: GuestMemory) -> NoReturn:
    """Become the program of `command`, which inherits `memory`, as far as that is shared.

    Raises MigrationError in QEMU's words when there is no such program.
    """
    fds = [memory.fd] if memory.shared and not memory.is_named_file else []
    with Fd(os.memfd_create(CPR_STATE, 0)) as state:
        entries = [cpr.entry(memory.name) + cpr.number(fd.fileno()) for fd in fds]
        os.write(state.fileno(), b"".join([cpr.HEADER, *entries, cpr.TAIL]))
        os.environ[CPR_STATE] = str(state.fileno())
        for fd in fds:
            os.set_inheritable(fd.fileno(), True)
        reason = _execute(command)
        for fd in fds:
            os.set_inheritable(fd.fileno(), False)
        del os.environ[CPR_STATE]
    raise MigrationError(f"execvp {command[0]} failed: {reason}")


def _execute(command: list[str]) -> str:
    """Return why it failed. Python's own refuses an empty name, and looks for it by itself."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [*map(os.fsencode, command), None]
    libc.execvp(arguments[0], (ctypes.c_char_p * len(arguments))(*arguments))
    return os.strerror(ctypes.get_errno())
