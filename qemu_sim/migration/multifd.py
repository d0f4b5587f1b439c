"""What both ends of multifd have in common.

QEMU: migration/multifd.c, migration/options.c (migrate_multifd), hw/core/machine.c

Beside the main stream there are `multifd-channels` channels, each a connection of its own,
that take the pages. Where the main stream says so, both ends wait until all channels have
come equally far: after each round over RAM, and with machine types up to 8.0 (there it goes
without saying) after each section.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qemu_sim.errors import MigrationError
from qemu_sim.io.channel import Channel

if TYPE_CHECKING:
    from qemu_sim.migration.side import Side
    from qemu_sim.migration.stream import Stream

COMPRESSIONS = ("none", "zlib")
"""Those that are simulated."""

_BY_ROUND_SINCE = (8, 1)
_TYPE_VERSION = re.compile(r"-(\d+)\.(\d+)$")
_NO_UUID = bytes(16)


def channels(machine: Side) -> int:
    """Return how many there are beside the main one: none where pages have places in a file."""
    capabilities = machine.capabilities
    if not capabilities.enabled("multifd") or capabilities.enabled("mapped-ram"):
        return 0
    count: int = machine.parameters["multifd-channels"]
    return count


def check(main: Stream) -> None:
    """Raise MigrationError if beside `main` there cannot be other channels.

    Since 8.2 a client is told so before anything begins; an older QEMU fails without a word.
    """
    if not isinstance(main.channel, Channel):
        raise MigrationError("multifd takes connections, and this is none")


def waits_each_section(machine: Side) -> bool:
    """Whether both ends wait for all channels after each section of RAM."""
    found = _TYPE_VERSION.search(machine.machine_type)
    version = machine.version[:2]
    if found is not None:
        version = min(version, (int(found[1]), int(found[2])))
    return version < _BY_ROUND_SINCE


def uuid_of(machine: Side) -> bytes:
    """Return the UUID by which the channels of one migration know each other."""
    return _NO_UUID if machine.uuid is None else bytes.fromhex(machine.uuid.replace("-", ""))
