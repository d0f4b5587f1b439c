"""What goes ahead of a migration that leaves RAM where it is, byte for byte."""

from __future__ import annotations

import pytest

from qemu_sim.errors import WireError
from qemu_sim.wire import cpr, vmstream
from qemu_sim.wire.bytes_reader import BytesReader, run

# Of QEMU 11.1.3 with -nodefaults and RAM called "ram", the 0x20 of each descriptor included.
RECORDED = bytes.fromhex(
    "51435052 00000001"
    "01 00000013 2f726f6d406574632f616370692f7273647000 00000000 20"
    "01 00000015 2f726f6d406574632f616370692f7461626c657300 00000000 20"
    "01 00000008 70632e62696f7300 00000000 20"
    "01 00000016 2f726f6d406574632f7461626c652d6c6f6164657200 00000000 20"
    "01 00000007 70632e726f6d00 00000000 20"
    "01 00000004 72616d00 00000000 20"
    "00 0515 43707253746174652f7666696f2064657669636573 00000001 00"
)


async def names(reader):
    await cpr.read_header(reader)
    found = []
    while (key := await cpr.read_entry(reader)) is not None:
        assert await reader.read(1) == vmstream.FD_BYTE
        found.append(key)
    await cpr.read_tail(reader)
    return found


def test_a_recorded_state_is_read():
    assert run(names(BytesReader(RECORDED))) == [
        ("/rom@etc/acpi/rsdp", 0),
        ("/rom@etc/acpi/tables", 0),
        ("pc.bios", 0),
        ("/rom@etc/table-loader", 0),
        ("pc.rom", 0),
        ("ram", 0),
    ]


def test_the_end_of_an_older_state():
    assert run(names(BytesReader(RECORDED[:8] + b"\0"))) == []


def test_a_device_that_was_left_is_refused():
    with pytest.raises(WireError, match=r"^devices that were left with RAM are not simulated"):
        run(names(BytesReader(RECORDED[:8] + cpr.TAIL[:-1] + b"\1")))


def test_what_is_written_is_what_qemu_writes():
    ours = cpr.HEADER + cpr.entry("ram") + vmstream.FD_BYTE + cpr.TAIL
    assert ours == RECORDED[:8] + RECORDED[RECORDED.index(b"\1\0\0\0\4ram") :]
    assert cpr.number(13) == bytes([0, 0, 0, 13])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"garbagegarbage", "Not a migration stream (bad magic 67617262)"),
        (b"QCPR\0\0\0\x09", "Unsupported migration stream version 9"),
        (b"QCPR\0\0\0\1", "Failed to load CprState state: stream error: -5"),
        (b"QCPR\0\0\0\1\1\0\0\0\4ra", "Failed to load cpr fd state: stream error: -5"),
    ],
)
def test_what_is_no_state_is_refused_in_qemus_words(data, words):
    with pytest.raises(WireError) as error:
        run(names(BytesReader(data)))
    assert str(error.value) == words
