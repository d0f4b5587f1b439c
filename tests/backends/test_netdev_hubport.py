"""Ports of a hub hear each other, and nobody else."""

import pytest

from qemu_sim.backends.netdev_hubport import HubPort
from qemu_sim.errors import QMPError


@pytest.fixture
async def ports():
    """Two ports of hub 0 and one of hub 1, which have each other as neighbours."""
    made = {id: HubPort(id, {"hubid": int(id == "c")}) for id in "abc"}
    heard = []
    for id, port in made.items():
        port.neighbours = made
        await port.open()
        port.start(lambda queue, frame, name=id: heard.append((name, queue, frame)))
    return made, heard


async def test_the_other_ports_of_a_hub_hear_a_frame(ports):
    made, heard = ports
    assert made["a"].send(3, b"frame")
    assert heard == [("b", 0, b"frame")]
    assert made["c"].send(0, b"frame")
    assert len(heard) == 1


async def test_a_stopped_port_hears_nothing(ports):
    made, heard = ports
    made["b"].stop()
    assert made["a"].send(0, b"frame")
    made["b"].close()
    assert not made["b"].is_open
    assert heard == []


async def test_a_port_with_a_netdev_is_refused():
    with pytest.raises(QMPError, match="not simulated by qemu-sim"):
        await HubPort("a", {"hubid": 0, "netdev": "n"}).open()


def test_two_guests_hear_each_other_and_a_pulled_cable_ends_it(make_machine):
    argv = [
        "-machine",
        "q35",
        "-netdev",
        "hubport,id=h0,hubid=0",
        "-netdev",
        "hubport,id=h1,hubid=0",
    ]
    machine = make_machine(
        *argv,
        "-device",
        "virtio-net-pci,id=n0,netdev=h0",
        "-device",
        "virtio-net-pci,id=n1,netdev=h1",
    )
    once = {"initial": 50, "max": 50, "rounds": 1, "step": 10, "interfaces": ["n0"]}
    machine.execute("announce-self", once)
    assert machine.query_guest()["n1"].frames_in == 1
    machine.execute("set_link", name="n1", up=False)
    machine.execute("announce-self", once)
    assert machine.query_guest()["n1"].frames_in == 1
    machine.execute("set_link", name="h0", up=False)
    machine.execute("announce-self", once)
    assert machine.query_guest()["n0"].frames_out == 2
