"""Any two dialects, any scenario, and whatever may befall the two at any moment, by chance.

Never do both run; whatever comes of it, a manager who goes by the two statuses finds one
machine that serves or can be told to; and nobody leaves a descriptor, a task or a bug.
"""

from __future__ import annotations

import random
import socket
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from meeting import SIDES, Meeting
from pair import machines
from scenarios import SCENARIOS
from speakers import SPEAKERS

from qemu_sim.hooks import DESTINATION_POINTS, RARE_POINTS, SOURCE_POINTS
from qemu_sim.testing import QMPError

FAULTS = ("lose-fd", "extra-fd", "wrong-fd", "swap-devices", "swap-roles")
STEPS = 12
# In a file one would wait for the other, and for a program nobody can say when it ends.
AT_ONCE = [each for each in SCENARIOS if each.channel not in ("file", "exec")]
COMMANDS = (
    ("stop", {}),
    ("system_reset", {}),
    ("system_powerdown", {}),
    ("device_del", {"id": "nic1"}),
    ("device_add", {"driver": "virtio-rng-pci", "id": "more"}),
    ("netdev_del", {"id": "net1"}),
    ("set_link", {"name": "nic0", "up": True}),
    ("announce-self", {"initial": 50, "max": 550, "rounds": 2, "step": 50}),
    ("migrate_cancel", {}),
    ("migrate", {"uri": "unix:/no/such/path"}),
    ("migrate-incoming", {"uri": "unix:/no/such/path"}),
    ("migrate-continue", {"state": "pre-switchover"}),
    ("migrate-start-postcopy", {}),
    ("migrate-recover", {"uri": "unix:/no/such/path"}),
    ("migrate-pause", {}),
    ("query-migrate", {}),
    ("query-backend-transfer", {}),
)


class Chance:
    """What befalls one pair, chosen by one seed."""

    def __init__(self, make, seed) -> None:
        self.random = chance = random.Random(seed)
        asking, waiting = chance.choice([*SPEAKERS]), chance.choice([*SPEAKERS])
        if chance.random() < 0.6:  # as a manager means it
            waiting = asking
        scenario = SCENARIOS[0] if chance.random() < 0.5 else chance.choice(AT_ONCE)
        scenario = replace(scenario, return_path=chance.random() < 0.6)
        self.pair = Meeting(make, asking, scenario, waiting=waiting, patience=0.3)
        fits = waiting == asking and scenario.title == SCENARIOS[0].title
        self.is_whole = {"source": True, "destination": fits}
        self.arm()

    def arm(self) -> None:
        """Hold either side somewhere, and perhaps let one fail; neither need come by."""
        chance = self.random
        for name, points in zip(SIDES, (SOURCE_POINTS, DESTINATION_POINTS), strict=True):
            for point in chance.sample(points, chance.randrange(3)):
                self.pair.side(name).execute("x-sim-migration-hold", at=point)
            if chance.random() < 0.1:
                self.pair.side(name).inject("refuse", at=chance.choice(points), must_strike=False)
        if chance.random() < 0.1:
            self.pair.source.execute("x-sim-migration-hold", at=chance.choice(RARE_POINTS[-2:]))
        if chance.random() < 0.15:
            self.pair.source.inject(chance.choice(FAULTS), must_strike=False)
            self.is_whole["destination"] = False
        if chance.random() < 0.15:
            self.switch_on("source", "pause-before-switchover")
        if chance.random() < 0.15:
            for name in SIDES:
                self.switch_on(name, "postcopy-ram")

    def switch_on(self, name, capability) -> None:
        wanted = [{"capability": capability, "state": True}]
        self.pair.side(name).execute("migrate-set-capabilities", capabilities=wanted)

    def befall(self) -> None:
        """Let one thing happen."""
        pair, chance = self.pair, self.random
        name = chance.choice(SIDES)
        if name in pair.gone:
            return
        match chance.randrange(14):
            case 0:
                pair.cut()
            case 1:
                self.quit(name)
            case 2:
                pair.cont(name)
            case 3:
                self.visit(pair.side(name).qmp_path)
            case 4:
                self.visit(pair.path("socket"))
            case 5:
                self.try_again(name)
            case 6 | 7 | 8 | 9:
                command, arguments = chance.choice(COMMANDS)
                with suppress(QMPError):
                    pair.side(name).execute(command, arguments)
                    self.is_whole[name] &= command not in ("device_del", "netdev_del")
            case _:
                pair.step(name)
        time.sleep(chance.choice((0, 0, 0.001)))

    def quit(self, name) -> None:
        """Not often: what follows is of no interest to one who is not there."""
        if self.random.random() < 0.2:
            self.pair.quit(name)

    def visit(self, path) -> None:
        """Somebody says half a sentence, and leaves; to a destination that waits, as a source."""
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.connect(path)
            client.send(b'{"execute": "qmp_capabilities"} {"execute": "query-mig')

    def try_again(self, name) -> None:
        """Begin anew, or a second time; a source perhaps with itself, by mistake."""
        uri = f"unix:{self.pair.path('socket')}"
        with suppress(QMPError):
            if name == "destination":
                self.pair.listen(uri)
            elif self.random.random() < 0.8:
                self.pair.send(uri)
            else:
                self.pair.send(f"unix:{self.pair.source.qmp_path}")

    def play(self) -> None:
        pair = self.pair
        with suppress(QMPError):  # a channel, or a dialect's rule
            pair.meet()
        for _ in range(STEPS):
            self.befall()
            assert not pair.both_ran
        pair.release()
        pair.until(lambda: self.is_over("source"), "the source's end")
        pair.until(lambda: self.is_over("destination"), "the destination's end")
        self.operate()

    def is_over(self, name) -> bool:
        """Whether nothing goes on; a destination nobody comes to waits for ever."""
        if name in self.pair.gone:
            return True
        if self.pair.inner(name).hooks.waiting_at is not None:
            self.pair.release()
        with suppress(QMPError):
            self.pair.side(name).execute("migrate-continue", state="pre-switchover")
        status, _ = self.pair.status(name)
        if name == "destination" and status == "setup":
            return True
        return status in (None, "completed", "failed", "cancelled", "postcopy-paused")

    def operate(self) -> None:
        """Do as a manager does, and see who serves."""
        pair, owner = self.pair, self.owner()
        if owner is None:
            return
        if not pair.runs(owner):
            pair.side(owner).execute("cont")
        pair.check_owner(owner, traffic=self.is_whole[owner])

    def owner(self) -> str | None:
        """Tell from the statuses whose the machine is, None when it has gone with its owner."""
        pair = self.pair
        alive = {name: pair.status(name) for name in SIDES if name not in pair.gone}
        if "destination" in alive and alive["destination"][1] != "inmigrate":
            return "destination"
        if "source" in alive:
            plan = pair.inner("source").migration.plan
            is_given = alive["source"] == ("completed", "postmigrate") and plan is not None
            is_elsewhere = alive["source"][0] == "postcopy-paused"  # and goes on there, or nowhere
            return None if is_given or is_elsewhere else "source"
        held = "destination" in alive and "'cont' takes it over" in (
            pair.error("destination") or ""
        )
        return "destination" if held else None


@pytest.mark.parametrize("start", [0, 20, 40])
def test_at_most_one_runs(netns, start):
    for seed in range(start, start + 20):
        try:
            with machines("in-process") as make:
                Chance(make, seed).play()
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
