"""What a command line asks for: the machine, its parts in order, and the process around it.

QEMU: system/vl.c, qemu-options.hx

Texts are split and the plain settings are checked; whatever needs the profile or the host
(a device's properties, an address) is left to who builds the machine. That goes wrong
inside `with given.blame():`, so that the message names the option it came from.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from qemu_sim.errors import QMPError

# Members of a Configuration that are read, checked, and change nothing here.
WITHOUT_EFFECT = {
    "display": "only `none` is simulated, which is what there is in any case",
    "nodefaults": "there are no default devices in any case",
    "nographic": "it takes away a display, and there is none",
}


CPR_STATE = "QEMU_CPR_EXEC_STATE"
"""The variable with the number of the descriptor that an earlier program of the process left."""


class StartError(Exception):
    """Ends the start. Each argument is a message, complete but for the program's name."""


class Given(NamedTuple):
    """One option: `source` as written ("-device foo,id=a"), `values` as read.

    Of an option in a configuration file the source is the file and a line in it, or nothing.

    `typed` tells JSON, whose values have types, from `key=value`, whose values are strings.
    `failed` is what QEMU says after the reason why it could not be made, if anything.
    """

    source: str
    values: dict[str, Any]
    typed: bool = False
    failed: str | None = None

    @contextmanager
    def blame(self) -> Iterator[None]:
        """Turn a QMPError inside into a StartError that names this option."""
        try:
            yield
        except QMPError as error:
            source = f"{self.source}: " if self.source else ""
            also = [f"{source}{self.failed}"] if self.failed else []
            raise StartError(f"{source}{error.hinted}", *also) from None


class MonitorSpec(NamedTuple):
    """A monitor on the chardev `chardev`; `mode` is "control" (QMP) or "readline" (HMP)."""

    source: str
    chardev: str
    mode: str
    pretty: bool = False
    id: str | None = None


class Configuration:
    """A command line, read. The parts stand in the order in which they were given.

    `machine` holds -machine's properties: strings, objects for `smp` and `boot`; its
    `type` is missing if none was given. `memory` is -m: `size`, `slots`, `maxmem`, in
    bytes. `accelerators` are the candidates, best first. `chardevs` are arguments of
    `chardev-add`; `serials` and `parallels` name each port's, or None. `incoming` holds `defer`, a
    `uri` or a `channel`.
    """

    __slots__ = (
        "accelerators",
        "actions",
        "add_fds",
        "audiodevs",
        "blockdevs",
        "chardevs",
        "cpu",
        "daemonize",
        "debug_threads",
        "devices",
        "display",
        "drives",
        "exit_with_parent",
        "globals",
        "incoming",
        "incoming_cpr",
        "loadvm",
        "machine",
        "memory",
        "monitors",
        "name",
        "netdevs",
        "nodefaults",
        "nographic",
        "numa",
        "objects",
        "parallels",
        "pidfile",
        "preconfig",
        "process_name",
        "qtest",
        "qtest_log",
        "rejected",
        "serials",
        "sim",
        "start_paused",
        "uuid",
        "vncs",
    )

    def __init__(self) -> None:
        """Nothing was asked for."""
        self.name: str | None = None
        self.process_name: str | None = None
        self.debug_threads = False
        self.uuid: str | None = None
        self.vncs: list[Given] = []
        self.audiodevs: set[str] = set()
        self.machine: dict[str, Any] = {}
        self.memory: dict[str, int] = {}
        self.cpu: str | None = None
        self.accelerators: list[Given] = []
        self.start_paused = False
        self.preconfig = False
        self.nodefaults = False
        self.nographic = False
        self.display: str | None = None
        self.monitors: list[MonitorSpec] = []
        self.chardevs: list[Given] = []
        self.objects: list[Given] = []
        self.netdevs: list[Given] = []
        self.blockdevs: list[Given] = []
        self.drives: list[Given] = []
        self.serials: list[str | None] = []
        self.parallels: list[str | None] = []
        self.devices: list[Given] = []
        self.numa: list[Given] = []
        self.globals: list[Given] = []
        self.add_fds: list[Given] = []
        self.loadvm: str | None = None
        self.incoming: Given | None = None
        self.incoming_cpr: Given | None = None
        self.actions: dict[str, str] = {}
        self.rejected: set[str] = set()  # features whose use -compat makes an error
        self.pidfile: str | None = None
        self.daemonize = False
        self.exit_with_parent = False
        self.qtest: str | None = None
        self.qtest_log: str | None = None
        self.sim: dict[str, str | list[str]] = {}

    @property
    def uses_qtest(self) -> bool:
        """Whether a test program, which then owns the clock, takes the place of the CPU."""
        names = self.machine.get("accel", "").split(":")
        return "qtest" in (*names, *(given.values.get("accel") for given in self.accelerators))
