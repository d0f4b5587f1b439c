"""Pictures of a screen. Errors are those of QEMU 7.2.22 and 11.1.3."""

import struct
import zlib

import pytest

from qemu_sim.testing import QMPError

WIDTH, HEIGHT = 640, 480


@pytest.fixture
def machine(make_machine):
    return make_machine("-M", "q35", "-device", "VGA,id=v", "-device", "virtio-net-pci,id=n")


def test_a_portable_pixmap(machine, tmp_path):
    picture = tmp_path / "picture"
    machine.execute("screendump", filename=str(picture))
    header, pixels = picture.read_bytes().split(b"\n255\n")
    assert header == b"P6\n640 480"
    assert pixels == bytes(3 * WIDTH * HEIGHT)


def test_a_png(machine, tmp_path):
    picture = tmp_path / "picture"
    machine.execute("screendump", filename=str(picture), format="png", device="v", head=0)
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        chunks[kind] = data[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + size)
        assert checksum == zlib.crc32(kind + chunks[kind])
        at += size + 12
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (WIDTH, HEIGHT)
    assert zlib.decompress(chunks[b"IDAT"]) == bytes((3 * WIDTH + 1) * HEIGHT)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"head": 0}, "'head' must be specified together with 'device'"),
        ({"device": "v", "head": 1}, r"Device v \(head 1\) is not bound to a QemuConsole"),
        ({"device": "n"}, r"Device n \(head 0\) is not bound to a QemuConsole"),
        ({"device": "nope"}, "Device 'nope' not found"),
        ({"filename": "/nope/x"}, "Could not create '/nope/x': No such file or directory"),
    ],
)
def test_what_cannot_be_had(machine, tmp_path, arguments, words):
    with pytest.raises(QMPError, match=f"^{words}$"):
        machine.execute("screendump", {"filename": str(tmp_path / "picture"), **arguments})


def test_a_machine_without_a_screen(make_machine, tmp_path):
    with pytest.raises(QMPError, match=r"^There is no console to take a screendump from$"):
        make_machine("-M", "q35").execute("screendump", filename=str(tmp_path / "picture"))
