import pytest

from qemu_sim.errors import QMPError
from qemu_sim.machine.memory_limits import memory_size

GIB = 1 << 30


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({}, 128 << 20),
        ({"size": 0}, 128 << 20),
        ({"size": 1}, 8192),
        ({"size": GIB, "maxmem": 2 * GIB, "slots": 3}, GIB),
        ({"size": GIB, "maxmem": GIB}, GIB),
    ],
)
def test_sizes(given, size):
    assert memory_size(given) == size


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"size": GIB, "slots": 2}, "slots specified but no max-size"),
        (
            {"size": GIB, "maxmem": GIB // 2},
            (
                "invalid value of maxmem: maximum memory size (0x20000000) must be at least the "
                "initial memory size (0x40000000)"
            ),
        ),
        (
            {"size": GIB, "maxmem": GIB, "slots": 1},
            (
                "invalid value of maxmem: memory slots were specified but maximum memory size "
                "(0x40000000) is equal to the initial memory size (0x40000000)"
            ),
        ),
    ],
)
def test_refusals(given, error):
    with pytest.raises(QMPError) as caught:
        memory_size(given)
    assert str(caught.value) == error
