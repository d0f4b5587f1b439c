"""Two machines with two NICs each, in one dialect or in two, that are to meet."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager

from speakers import ALL, SPEAKERS

from qemu_sim.testing import netns
from qemu_sim.testing.factory import MachineFactory
from qemu_sim.testing.ping import Ping

_RETURN_PATH = {"capability": "return-path", "state": True}  # it hears how it ends
_LIMIT = 20.0  # seconds
_ENDED = ("completed", "failed", "cancelled")


@contextmanager
def machines(mode):
    """Yield what makes machines; whatever one complains of or leaves behind is an error."""
    with tempfile.TemporaryDirectory(prefix="qemu-sim-") as directory:
        make = MachineFactory(directory, mode)
        try:
            yield make
        finally:
            complaints = make.close()
        assert not complaints, complaints


def check_traffic(number, *, is_answered) -> None:
    """Assert that the guest answers at tapN, once each, or that nobody does."""
    ping = Ping(f"10.0.{number}.2")
    ping.run(3, 0.002, _LIMIT if is_answered else 0.1)
    counts = ping.report()
    expected = (3 if is_answered else 0, 0)
    assert (counts["received"], counts["duplicates"]) == expected, number


class Pair:
    """A source that runs on tap0 and tap1, and a destination, as a scenario has them.

    `make` makes machines, in a network namespace of our own. `waiting` is the destination's
    dialect, where it is another.
    """

    def __init__(self, make, dialect, scenario, *, waiting=None) -> None:
        waiting = waiting or dialect
        self.dialect = dialect
        self._make = make
        self._scenario = scenario
        self._asking = SPEAKERS[dialect](dialect, waits=False)
        self._waiting = SPEAKERS[waiting](waiting, waits=True)
        self.source = self._start_source()
        self.destination = make(
            *("-M", scenario.machines[1], "-m", "16", "-incoming", "defer"),
            *("-sim", f"dialect={waiting}"),
            name="destination",
        )
        self.ends = [self.source]
        """Those that have begun."""

    def meet(self) -> None:
        """Let the destination ask for what it wants, listen, and the source begin.

        Raises QMPError where either refuses.
        """
        self.set_up()
        getattr(self, f"_over_{self._scenario.channel}")()

    def again(self) -> None:
        """Meet another time, over a socket."""
        self._over_unix()

    def _start_source(self):
        scenario, asking = self._scenario, self._asking
        argv = ["-M", scenario.machines[0], "-m", "16", "-sim", f"dialect={asking.dialect}"]
        for number in ALL:
            netdev = self._netdev(asking, number, scenario.source, scenario.queues[0])
            device = self._device(asking, number, scenario.source)
            argv += ["-netdev", _text(netdev.pop("type"), netdev)]
            argv += ["-device", _text(device.pop("driver"), device)]
        machine = self._make(*argv, name="source")
        if scenario.return_path and scenario.channel in ("unix", "tcp"):
            machine.execute("migrate-set-capabilities", capabilities=[_RETURN_PATH])
        asking.before_netdevs(machine, scenario.source)
        asking.behind_devices(machine, scenario.source)
        for number in ALL:
            netns.up(f"tap{number}", f"10.0.{number}.1/24")
        return machine

    def set_up(self) -> None:
        """Have the destination ask for what it wants."""
        scenario, machine, waiting = self._scenario, self.destination, self._waiting
        if not scenario.open:
            waiting.before_netdevs(machine, scenario.destination)
        for number in ALL:
            wanted = None if scenario.open and waiting.dialect == "capability" else ALL
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

    def listen(self, uri: str) -> None:
        """Let the destination wait at `uri`."""
        self.destination.execute("migrate-incoming", {"uri": uri, "exit-on-error": False})
        self.ends.append(self.destination)

    def send(self, uri: str) -> None:
        arguments = self._asking.arguments(self._scenario.source)
        self.source.execute("migrate", {"uri": uri, **arguments})

    def _over_unix(self) -> None:
        uri = f"unix:{self.path('socket')}"
        self.listen(uri)
        self.send(uri)

    def _over_tcp(self) -> None:
        self.listen("tcp:127.0.0.1:0")
        address = self.destination.execute("query-migrate")["socket-address"][0]
        self.send(f"tcp:{address['host']}:{address['port']}")

    def _over_exec(self) -> None:
        os.mkfifo(self.path("fifo"))
        self.listen(f"exec:cat {self.path('fifo')}")
        self.send(f"exec:cat > {self.path('fifo')}")

    def _over_file(self) -> None:
        """One after the other: a file has an end. There is none if the source fails."""
        uri = f"file:{self.path('file')}"
        self.send(uri)
        if self.ended(self.source)["status"] == "completed":
            self.listen(uri)

    def _over_fd(self) -> None:
        """Over a pipe."""
        reading, writing = os.pipe()
        self.destination.send_fd("mig", reading)
        self.source.send_fd("mig", writing)
        os.close(reading)
        os.close(writing)
        self.listen("fd:mig")
        self.send("fd:mig")

    def path(self, name: str) -> str:
        return os.path.join(os.path.dirname(self.source.qmp_path), name)

    def ended(self, machine) -> dict:
        deadline = time.monotonic() + _LIMIT
        while (report := machine.execute("query-migrate")).get("status") not in _ENDED:
            assert time.monotonic() < deadline, report
            time.sleep(0.01)
        return report


def _text(first: str, options: dict) -> str:
    """Write options as the command line does."""
    words = {True: "on", False: "off"}
    given = [f"{name}={words.get(value, value)}" for name, value in options.items()]
    return ",".join([first, *given])
