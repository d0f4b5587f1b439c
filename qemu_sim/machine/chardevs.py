"""The chardevs of one machine by ID, and which front ends use each of them.

QEMU: chardev/char.c, chardev/char-fe.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qemu_sim import catalog
from qemu_sim.backends.chardev import open_file
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.backends.chardev import Chardev
    from qemu_sim.fds import Fd
    from qemu_sim.machine.options import MachineOptions

Version = tuple[int, int, int]

_HUB_SINCE = (10, 0, 0)
_UNKNOWN = ("console",)  # which the schema knew until 8.0
_IN_MODULES = ("dbus", "spicevmc", "spiceport")  # which a newer QEMU need not have beside it
_SERIAL = "isa-serial"
_PARALLEL = "isa-parallel"
_MOST_SERIALS = 4


class Chardevs(Mapping[str, "Chardev"]):
    """Look one up by its ID.

    A machine that waits for a migration opens none yet whose connection may come with that.
    """

    def __init__(self, options: MachineOptions, version: Version) -> None:
        self._has_ports = options.machine_type != "none"
        self._version = version
        self._parts: dict[str, Chardev] = {}
        self._users: dict[str, list[str]] = {}
        self.deferred = options.incoming
        self.open_file = open_file  # replaced by what also knows descriptor sets
        self.tell_wait: Callable[[str], None] = lambda _: None  # where a server waits for a client
        self.serial: Chardev | None = None  # what the first serial port leads to

    def __getitem__(self, id: str) -> Chardev:
        return self._parts[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def users(self, id: str) -> Sequence[str]:
        """Return who uses a chardev: a device's property, a netdev, a mux, or "monitor"."""
        return self._users.get(id, ())

    def frontend_open(self, id: str) -> bool:
        """Whether a front end listens; one that shares a chardev does while it has one itself."""
        return not self[id].quiet and any(
            self.frontend_open(user) if user in self else True for user in self.users(id)
        )

    def claim(self, device_type: str, id: str) -> Chardev:
        """Return the chardev `id` for one device. Raises QMPError in QEMU's words."""
        name = f"{device_type}.chardev"
        if id not in self:
            raise QMPError(f"Property '{name}' can't find value '{id}'")
        try:
            self.use(self[id], name)
        except QMPError as error:
            raise QMPError(f"Property '{name}' can't take value '{id}': {error}") from None
        return self[id]

    def unclaim(self, id: str) -> None:
        """Undo `claim`, if it was done."""
        user = next((each for each in self.users(id) if each.endswith(".chardev")), None)
        if user is not None:
            self.release(id, user)

    def use(self, chardev: Chardev, user: str) -> None:
        """Note that `user` uses it. Raises QMPError in QEMU's words where no more may."""
        users = self._users.setdefault(chardev.id, [])
        if len(users) == chardev.front_ends:
            raise QMPError(self._in_use(chardev))
        users.append(user)

    def release(self, id: str, user: str) -> None:
        """Undo `use`; nothing happens where it was not done."""
        if user in self._users.get(id, ()):
            self._users[id].remove(user)

    def check(self, kind: str, id: str) -> type[Chardev]:
        """Return the class of a chardev that may be added. Raises QMPError."""
        made: type[Chardev] | None = catalog.find("qemu_sim.backends", "chardev", kind)
        absent = _IN_MODULES if self._version >= _HUB_SINCE else ("hub",)
        if kind in (*_UNKNOWN, *absent):
            raise QMPError(f"'{kind}' is not a valid char driver name")
        if made is None:
            raise QMPError(f"chardev backend '{kind}' is not simulated by qemu-sim")
        if id in self:
            raise QMPError(f"Chardev with id '{id}' already exists")
        if kind == "stdio" and any(each.filename == "stdio" for each in self.values()):
            raise QMPError("cannot use stdio by multiple character devices")
        return made

    async def add(
        self, kind: str, id: str, options: dict[str, Any], fds: Sequence[Fd] = ()
    ) -> Chardev:
        """Make and open a chardev that owns `fds`. Raises QMPError in QEMU's words."""
        chardev = self.check(kind, id)(id, options, fds)
        chardev.open_file = self.open_file
        chardev.tell_wait = self.tell_wait
        chardev.version = self._version
        try:
            for base in chardev.find_bases(self):
                self.use(base, id)
            chardev.open_log()
            if not (self.deferred and chardev.TRAVELS):
                await chardev.open()
        except BaseException:
            self._drop(chardev)
            raise
        self._parts[id] = chardev
        return chardev

    def check_change(self, id: str) -> None:
        """Raise QMPError in QEMU's words where no other may take the place of a chardev."""
        found = self.get(id)
        if found is None:
            raise QMPError(f"Chardev '{id}' does not exist")
        if found.TYPE in ("mux", "hub"):
            newer = "For mux or hub device hotswap is not supported yet"
            older = "Mux device hotswap not supported yet"
            raise QMPError(newer if self._version >= _HUB_SINCE else older)
        if any(user in (_SERIAL, f"{_SERIAL}.chardev") for user in self.users(id)):
            raise QMPError(f"changing a serial port's chardev '{id}' is not simulated by qemu-sim")
        if self.users(id):
            raise QMPError("Chardev user does not support chardev hotswap")

    def add_monitor(self, chardev: Chardev) -> None:
        """Show a monitor's chardev, which stays as long as that."""
        self._parts[chardev.id] = chardev
        self.use(chardev, "monitor")

    async def plug_serial(self, chardev: Chardev) -> None:
        """Lead the next serial port to a chardev; the simulated guest uses the first."""
        if not chardev.is_open:
            await chardev.open()
        ports = sum(users.count(_SERIAL) for users in self._users.values())
        if self._has_ports and ports < _MOST_SERIALS:
            self.use(chardev, _SERIAL)
            self.lead_serial(chardev)

    def lead_serial(self, chardev: Chardev) -> None:
        """Have the simulated guest's first serial port lead there, unless it has one."""
        self.serial = self.serial or chardev

    def plug_parallel(self, chardev: Chardev) -> None:
        """Lead the next parallel port, which nobody here drives, to a chardev."""
        if self._has_ports:
            self.use(chardev, _PARALLEL)

    def remove(self, id: str) -> None:
        """Remove a chardev that nothing uses. Raises QMPError in QEMU's words."""
        if id not in self:
            raise QMPError(f"Chardev '{id}' not found")
        if self.users(id):
            raise QMPError(f"Chardev '{id}' is busy")
        self._drop(self._parts.pop(id))

    def close(self) -> None:
        """Give everything back."""
        for chardev in self.values():
            chardev.close()

    def _drop(self, chardev: Chardev) -> None:
        chardev.close()
        for id in self._users:
            self.release(id, chardev.id)

    def _in_use(self, chardev: Chardev) -> str:
        if self._version < _HUB_SINCE:
            return f"Device '{chardev.id}' is in use"
        if chardev.front_ends > 1:
            most = f"(maximum is {chardev.front_ends})"
            return f"too many uses of multiplexed chardev '{chardev.id}' {most}"
        return f"chardev '{chardev.id}' is already in use"
