import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("0x1000", 4096),
        ("4k", 4096),
        ("1M", 1 << 20),
        ("1g", 1 << 30),
        ("1.5G", 3 << 29),
        ("15E", 15 << 60),
        ("7B", 7),
    ],
)
def test_sizes(text, size):
    assert parse_size("size", text) == size


@pytest.mark.parametrize("text", ["", "x", "1GB", "1x", "1.5", "0x10M", "1e3", "M"])
def test_not_sizes(text):
    with pytest.raises(QMPError) as caught:
        parse_size("maxmem", text)
    assert str(caught.value).startswith(
        "Parameter 'maxmem' expects a non-negative number below 2^64\nOptional suffix"
    )


@pytest.mark.parametrize("text", ["-5", "16E", "99999999999999999999"])
def test_beyond_64_bits(text):
    with pytest.raises(QMPError, match=f"Value '{text}' is out of range for parameter 'size'"):
        parse_size("size", text)
