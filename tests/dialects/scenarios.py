"""What a manager meets, in each dialect: two daemons, two TAPs, one attempt to migrate."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from typing import NamedTuple

from speakers import ALL, SPEAKERS

from qemu_sim.testing import QMPError, netns
from qemu_sim.testing.factory import MachineFactory
from qemu_sim.testing.ping import Ping

_RETURN_PATH = {"capability": "return-path", "state": True}  # it hears how it ends
_OLD = "pc-i440fx-10.1"
_LIMIT = 20.0  # seconds
_ENDED = ("completed", "failed")


@dataclass(frozen=True)
class Scenario:
    """One row. Both sides ask for both TAPs, unless something else is said.

    `own`: the NICs for which the destination names a TAP of its own. `open`: its TAPs are
    opened where they are made, because of an up script or because it asks too late.
    """

    title: str
    source: tuple | None = ALL
    destination: tuple | None = ALL
    machines: tuple = ("pc", "pc")
    queues: tuple = (1, 1)
    own: tuple = ()
    open: bool = False
    channel: str = "unix"


SCENARIOS = (
    Scenario("both sides ask for both"),
    Scenario("both leave `nic1` out", source=(0,), destination=(0,), own=(1,)),
    Scenario("only the source asks", destination=None, own=ALL),
    Scenario("only the destination asks", source=None, own=ALL),
    Scenario("older machine type on both sides", machines=(_OLD, _OLD), own=ALL),
    Scenario("older machine type on the source", machines=(_OLD, "pc")),
    Scenario("older machine type on the destination", machines=("pc", _OLD), own=ALL),
    Scenario("2 queues on the source, 1 on the destination", queues=(2, 1)),
    Scenario("1 queue on the source, 2 on the destination", queues=(1, 2)),
    *(Scenario(f"channel is `{kind}:`", channel=kind) for kind in ("tcp", "exec", "file", "fd")),
    Scenario("the destination's TAPs are open already", own=ALL, open=True),
)


class Outcome(NamedTuple):
    """What became of it, in a few words, and the errors that said so."""

    words: str
    errors: tuple[str, ...] = ()


def play(dialect: str, scenario: Scenario) -> Outcome:
    """Play one scenario; whatever a machine complains of or leaves behind is an error."""
    with tempfile.TemporaryDirectory(prefix="qemu-sim-") as directory:
        make = MachineFactory(directory, "daemon")
        try:
            outcome = run(make, dialect, scenario)
        finally:
            complaints = make.close()
        assert not complaints, complaints
    return outcome


def run(make, dialect: str, scenario: Scenario) -> Outcome:
    """Play one scenario with machines that `make` makes, in a network namespace of our own."""
    asking = SPEAKERS[dialect](dialect, waits=False)
    leaves_out = (scenario.source or ALL) != ALL
    if leaves_out and not asking.can_leave_out():
        return Outcome("cannot be said")
    return Play(make, dialect, scenario).run()


class Play:
    """One scenario, under way."""

    def __init__(self, make, dialect, scenario) -> None:
        self._make = make
        self._dialect = dialect
        self._scenario = scenario
        self._asking = SPEAKERS[dialect](dialect, waits=False)
        self._waiting = SPEAKERS[dialect](dialect, waits=True)

    def run(self) -> Outcome:
        scenario = self._scenario
        self._source = self._start_source()
        self._destination = self._make(
            *("-M", scenario.machines[1], "-m", "16", "-incoming", "defer"),
            *("-sim", f"dialect={self._dialect}"),
            name="destination",
        )
        self._ends = [self._source]
        try:
            self._set_up_destination()
            getattr(self, f"_over_{scenario.channel}")()
        except QMPError as error:
            assert self._source.execute("query-status")["running"]
            return Outcome("refused", (error.desc,))
        return self._judge()

    def _start_source(self):
        scenario, asking = self._scenario, self._asking
        argv = ["-M", scenario.machines[0], "-m", "16", "-sim", f"dialect={self._dialect}"]
        for number in ALL:
            netdev = self._netdev(asking, number, scenario.source, scenario.queues[0])
            device = self._device(asking, number, scenario.source)
            argv += ["-netdev", _text(netdev.pop("type"), netdev)]
            argv += ["-device", _text(device.pop("driver"), device)]
        machine = self._make(*argv, name="source")
        if scenario.channel in ("unix", "tcp"):
            machine.execute("migrate-set-capabilities", capabilities=[_RETURN_PATH])
        asking.before_netdevs(machine, scenario.source)
        asking.behind_devices(machine, scenario.source)
        for number in ALL:
            netns.up(f"tap{number}", f"10.0.{number}.1/24")
        return machine

    def _set_up_destination(self) -> None:
        scenario, machine, waiting = self._scenario, self._destination, self._waiting
        if not scenario.open:
            waiting.before_netdevs(machine, scenario.destination)
        for number in ALL:
            wanted = None if scenario.open and self._dialect == "capability" else ALL
            nics = wanted and scenario.destination
            netdev = self._netdev(waiting, number, nics, scenario.queues[1])
            if number in scenario.own:
                netdev["ifname"] = f"own{number}"
            if scenario.open:
                netdev["script"] = "/bin/true"
            machine.execute("netdev_add", netdev)
        for number in ALL:
            machine.execute("device_add", self._device(waiting, number, scenario.destination))
        if scenario.open:
            waiting.before_netdevs(machine, scenario.destination)
        waiting.behind_devices(machine, scenario.destination)

    def _netdev(self, speaker, number, nics, queues) -> dict:
        return {
            "type": "tap",
            "id": f"net{number}",
            "ifname": f"tap{number}",
            "script": "no",
            "downscript": "no",
            **({"queues": queues} if queues > 1 else {}),
            **speaker.netdev(number, nics),
        }

    def _device(self, speaker, number, nics) -> dict:
        names = {"id": f"nic{number}", "netdev": f"net{number}", "mq": True}
        return {"driver": "virtio-net-pci", **names, **speaker.device(number, nics)}

    def _listen(self, uri: str) -> None:
        """Let the destination wait at `uri`."""
        self._destination.execute("migrate-incoming", {"uri": uri, "exit-on-error": False})
        self._ends.append(self._destination)

    def _send(self, uri: str) -> None:
        arguments = self._asking.arguments(self._scenario.source)
        self._source.execute("migrate", {"uri": uri, **arguments})

    def _over_unix(self) -> None:
        uri = f"unix:{self._path('socket')}"
        self._listen(uri)
        self._send(uri)

    def _over_tcp(self) -> None:
        self._listen("tcp:127.0.0.1:0")
        address = self._destination.execute("query-migrate")["socket-address"][0]
        self._send(f"tcp:{address['host']}:{address['port']}")

    def _over_exec(self) -> None:
        os.mkfifo(self._path("fifo"))
        self._listen(f"exec:cat {self._path('fifo')}")
        self._send(f"exec:cat > {self._path('fifo')}")

    def _over_file(self) -> None:
        """One after the other: a file has an end. There is none if the source fails."""
        uri = f"file:{self._path('file')}"
        self._send(uri)
        if self._ended(self._source)["status"] == "completed":
            self._listen(uri)

    def _over_fd(self) -> None:
        """Over a pipe."""
        reading, writing = os.pipe()
        self._destination.send_fd("mig", reading)
        self._source.send_fd("mig", writing)
        os.close(reading)
        os.close(writing)
        self._listen("fd:mig")
        self._send("fd:mig")

    def _path(self, name: str) -> str:
        return os.path.join(os.path.dirname(self._source.qmp_path), name)

    def _judge(self) -> Outcome:
        reports = [self._ended(machine) for machine in self._ends]
        statuses = {report["status"] for report in reports}
        if statuses == {"completed"}:
            return Outcome(self._where_they_are())
        assert statuses == {"failed"}, reports
        assert self._source.execute("query-status")["running"]
        for number in ALL:
            self._check_traffic(number, is_answered=True)
        errors = [report["error-desc"] for report in reports]
        return Outcome("fails", tuple(dict.fromkeys(errors)))

    def _where_they_are(self) -> str:
        """Say which TAPs have travelled, after a ping through each."""
        found = _interfaces(self._destination.pid)
        travelled = [number for number in ALL if f"tap{number}" in found]
        dead = [number for number in ALL if not {f"tap{number}", f"own{number}"} & found]
        for number in ALL:
            self._check_traffic(number, is_answered=number in travelled)
        words = {ALL: "both travel", (): "none travels"}
        text = words.get(tuple(travelled), f"`nic{''.join(map(str, travelled))}` travels")
        return text + (", but the NICs are dead" if dead == list(ALL) else "")

    def _check_traffic(self, number, *, is_answered) -> None:
        """Assert that the guest answers at tapN, once each, or that nobody does."""
        ping = Ping(f"10.0.{number}.2")
        ping.run(3, 0.002, _LIMIT if is_answered else 0.1)
        counts = ping.report()
        expected = (3 if is_answered else 0, 0)
        assert (counts["received"], counts["duplicates"]) == expected, number

    def _ended(self, machine) -> dict:
        deadline = time.monotonic() + _LIMIT
        while (report := machine.execute("query-migrate")).get("status") not in _ENDED:
            assert time.monotonic() < deadline, report
            time.sleep(0.01)
        return report


def _interfaces(pid: int) -> set[str]:
    """Names of the TAPs that a process holds. Linux: /proc/PID/fdinfo of /dev/net/tun."""
    found = set()
    for number in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
            lines = dict(line.rstrip("\n").split(":", 1) for line in file if ":" in line)
        if "iff" in lines:
            found.add(lines["iff"].strip())
    return found


def _text(first: str, options: dict) -> str:
    """Write options as the command line does."""
    words = {True: "on", False: "off"}
    given = [f"{name}={words.get(value, value)}" for name, value in options.items()]
    return ",".join([first, *given])
