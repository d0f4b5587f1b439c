"""Machines whose guest writes to RAM all the time, as that of QEMU's own migration tests does."""

from __future__ import annotations

import socket

import pytest

from qemu_sim.guest import boot_sector
from qemu_sim.guest.page_writer import END, FIRST, PAGE

# What QEMU's migration tests set; a migration of this guest converges under the high ones only.
HIGH_LIMITS = {"max-bandwidth": 1_000_000_000, "downtime-limit": 30_000}
LOW_LIMITS = {"max-bandwidth": 3_000_000, "downtime-limit": 1}


class Guest:
    """One machine whose guest writes, and what there is to see of it from outside."""

    def __init__(self, machine, qtest, serial) -> None:
        self.machine = machine
        self.execute = machine.execute
        self._serial = serial
        self._qtest = socket.socket(socket.AF_UNIX)
        self._qtest.connect(qtest)
        self._answers = self._qtest.makefile("r")

    @property
    def serial(self):
        with open(self._serial) as file:
            return file.read()

    def ask(self, *lines):
        """Return the numbers that qtest commands answer."""
        self._qtest.sendall("".join(f"{line}\n" for line in lines).encode())
        answers = [self._answers.readline().split() for _ in lines]
        assert {answer[0] for answer in answers} == {"OK"}
        return [int(answer[1], 0) for answer in answers if answer[1:]]

    def counts(self):
        """Return the byte that every eighth page begins with."""
        return bytes(self.ask(*(f"readb {at:#x}" for at in range(FIRST, END, 8 * PAGE))))

    def stand_still(self):
        """Stop it; return the bytes, which differ by one step at most, and stay."""
        self.execute("stop")
        counts = self.counts()
        steps = [at for at in range(1, len(counts)) if counts[at - 1] != counts[at]]
        assert len(steps) <= 1
        assert all((counts[at] + 1) % 256 == counts[at - 1] for at in steps)
        assert self.counts() == counts
        return counts

    def told(self):
        """Return the events so far: statuses of the migration, and other names."""
        told = [each.get("data", {}).get("status", each["event"]) for each in self.machine.events]
        return [each for each in told if each not in ("MIGRATION_PASS", "X_SIM_MIGRATION_HELD")]

    def switch(self, *capabilities):
        on = [{"capability": each, "state": True} for each in capabilities]
        self.execute("migrate-set-capabilities", capabilities=on)

    def migrate_to(self, destination, *, converges=True):
        """Begin; the guest writes far more than can be sent, so that the limits decide."""
        limits = HIGH_LIMITS if converges else LOW_LIMITS
        self.execute("migrate-set-parameters", limits)
        self.execute("migrate", uri=destination.machine.listen())

    def reaches(self, *statuses):
        """Wait until its migration has told each of `statuses`."""
        for status in statuses:
            self.machine.wait_event("MIGRATION", status=status)

    def close(self):
        self._answers.close()
        self._qtest.close()


@pytest.fixture
def make_guest(make_machine, tmp_path):
    guests = []

    def make(name, *more, sector=boot_sector.PAGE_WRITER):
        disk, serial, qtest = (str(tmp_path / f"{name}.{kind}") for kind in ("img", "out", "qt"))
        with open(disk, "wb") as file:
            file.write(sector)
        machine = make_machine(
            *("-M", "q35,memory-backend=ram", "-serial", f"file:{serial}"),
            *("-object", f"memory-backend-ram,id=ram,size={128 << 20}"),
            *("-drive", f"if=none,id=d0,file={disk},format=raw", "-device", "ide-hd,drive=d0"),
            *("-qtest", f"unix:{qtest},server=on,wait=off", *more),
            name=name,
        )
        guest = Guest(machine, qtest, serial)
        guests.append(guest)
        guest.switch("events")
        return guest

    yield make
    for guest in guests:
        guest.close()


@pytest.fixture
def source(make_guest):
    return make_guest("source")


@pytest.fixture
def destination(make_guest):
    return make_guest("destination", "-incoming", "defer")
