"""-smp, with the words and results of QEMU 11.1.3."""

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.machine.topology import topology
from qemu_sim.qapi.keyval import parse_keyval

PRODUCT = "Invalid CPU topology: product of the hierarchy must match maxcpus: "


def _of(text, machine="pc-q35-11.1", most=4096):
    return topology(parse_keyval(text, "cpus"), machine, most)


@pytest.mark.parametrize(
    ("text", "cpus", "maxcpus", "levels"),
    [
        ("", 1, 1, (1, 1, 1, 1, 1)),
        ("4", 4, 4, (1, 1, 1, 4, 1)),
        ("8,sockets=2", 8, 8, (2, 1, 1, 4, 1)),
        ("8,cores=2", 8, 8, (4, 1, 1, 2, 1)),
        ("8,cores=2,sockets=2", 8, 8, (2, 1, 1, 2, 2)),
        ("2,maxcpus=4,sockets=2,cores=2,threads=1", 2, 4, (2, 1, 1, 2, 1)),
        ("sockets=2,cores=2", 4, 4, (2, 1, 1, 2, 1)),
        ("4,dies=2", 4, 4, (1, 2, 1, 2, 1)),
    ],
)
def test_what_is_not_said_is_computed(text, cpus, maxcpus, levels):
    found = _of(text)

    assert (found.cpus, found.maxcpus, tuple(found.levels.values())) == (cpus, maxcpus, levels)


@pytest.mark.parametrize(
    ("text", "machine", "error"),
    [
        ("cpus=a", "pc", "Parameter 'smp.cpus' expects integer"),
        ("4,foo=1", "pc", "Parameter 'smp.foo' is unexpected"),
        ("0", "pc", "Invalid CPU topology: CPU topology parameters must be greater than zero"),
        ("2,drawers=2", "pc", "drawers > 1 not supported by this machine's CPU topology"),
        ("1,dies=2", "none", "dies > 1 not supported by this machine's CPU topology"),
        (
            "4,maxcpus=2",
            "pc",
            (
                "Invalid CPU topology: maxcpus must be equal to or greater than smp: sockets (1) * "
                "dies (1) * modules (1) * cores (2) * threads (1) == maxcpus (2) < smp_cpus (4)"
            ),
        ),
        (
            "1,dies=2",
            "pc",
            PRODUCT
            + "sockets (1) * dies (2) * modules (1) * cores (0) * threads (1) != maxcpus (1)",
        ),
        (
            "maxcpus=8,cores=3,sockets=1",
            "pc",
            PRODUCT
            + "sockets (1) * dies (1) * modules (1) * cores (3) * threads (2) != maxcpus (8)",
        ),
        (
            "1,sockets=1,cores=2",
            "none",
            PRODUCT + "sockets (1) * cores (2) * threads (0) != maxcpus (1)",
        ),
    ],
)
def test_refusals(text, machine, error):
    with pytest.raises(QMPError) as caught:
        _of(text, "pc-q35-11.1" if machine == "pc" else machine)
    assert str(caught.value) == error


@pytest.mark.parametrize(("text", "count"), [("2", 2), ("-1", -1), ("99999999999", 1215752191)])
def test_a_machine_takes_so_many(text, count):
    with pytest.raises(QMPError) as caught:
        _of(text, "none", 1)
    assert str(caught.value) == (
        f"Invalid SMP CPUs {count}. The max CPUs supported by machine 'none' is 1"
    )
