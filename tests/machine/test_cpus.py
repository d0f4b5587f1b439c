"""CPUs that come and go; the answers and errors are in tests/data/talks-*."""

import os
import time

import pytest

SECONDS = 20
PLACE = {"driver": "qemu64-x86_64-cpu", "socket-id": 1, "core-id": 0, "thread-id": 0}


@pytest.fixture
def qemu_sim_argv():
    return ["-M", "pc", "-smp", "1,sockets=3,maxcpus=3"]


def threads(machine):
    return {each["qom-path"]: each["thread-id"] for each in machine.execute("query-cpus-fast")}


def test_a_cpu_brings_its_thread_and_takes_it_along(machine):
    boot = threads(machine)
    machine.execute("device_add", {**PLACE, "id": "vcpu1"})
    both = threads(machine)
    assert len(set(both.values())) == 2
    assert boot.items() <= both.items()
    plugged = both["/machine/peripheral/vcpu1"]
    assert os.path.exists(f"/proc/self/task/{plugged}")
    machine.execute("device_del", id="vcpu1")
    machine.wait_event("DEVICE_DELETED", device="vcpu1", path="/machine/peripheral/vcpu1")
    assert threads(machine) == boot
    deadline = time.monotonic() + SECONDS
    while os.path.exists(f"/proc/self/task/{plugged}"):  # the kernel is done a moment later
        assert time.monotonic() < deadline
    machine.execute("device_add", {**PLACE, "id": "vcpu1"})


def test_a_plugged_cpu_moves(make_machine, qemu_sim_argv):
    source = make_machine(*qemu_sim_argv)
    source.execute("device_add", {**PLACE, "id": "vcpu1"})
    on_the_command_line = ",".join(f"{name}={value}" for name, value in PLACE.items())
    there = ("-device", f"{on_the_command_line},id=vcpu1", "-incoming", "defer")
    destination = make_machine(*qemu_sim_argv, *there)
    assert source.migrate_to(destination).source.status == "completed"
    assert "/machine/peripheral/vcpu1" in threads(destination)


def test_a_destination_without_it_does_not_take_the_machine(make_machine, qemu_sim_argv):
    source = make_machine(*qemu_sim_argv)
    source.execute("device_add", {**PLACE, "id": "vcpu1"})
    destination = make_machine(*qemu_sim_argv, "-incoming", "defer")
    assert source.migrate_to(destination).source.status == "failed"
