"""What a destination says of a stream it cannot load, as recorded of QEMU 11.1.3 and 7.2.22."""

from __future__ import annotations

import asyncio
import struct

import pytest

from qemu_sim.wire import vmmessage, vmstream

FAILED = "load of migration failed: "
INVALID = f"{FAILED}Invalid argument"
BEGUN = vmstream.HEADER + vmstream.configuration("fake-1.0")
STATE = vmstream.section_start(vmstream.Section(vmstream.FULL, 3, "globalstate", 0, 1))
HOOK = "post load hook failed for: configuration, version_id: 1, minimum_version: 0"
OTHER_MACHINE = "Machine type received is 'fake-0.9' and local is 'fake-1.0'"
COMMAND = bytes([vmstream.COMMAND]) + vmmessage.frame(0x5399, b"")
MISSING = "Missing section footer for globalstate"

# What the source sends, the `error-desc` of 11.1.3, what 11.1.3 prints beside it, what 7.2.22 prints.
RECORDED = {
    "version": (
        struct.pack(">II", vmstream.MAGIC, 9),
        f"{FAILED}Operation not supported: Unsupported migration stream version, file version 9 != 3",
        [],
        ["Unsupported migration stream version", f"{FAILED}Operation not supported"],
    ),
    "no configuration": (
        vmstream.HEADER + b"\0",
        f"{INVALID}: Configuration section missing, 0 != 7",
        [],
        ["Configuration section missing", INVALID],
    ),
    "another machine type": (
        vmstream.HEADER + vmstream.configuration("fake-0.9"),
        f"{INVALID}: {HOOK}: {OTHER_MACHINE}",
        [],
        [OTHER_MACHINE, INVALID],
    ),
    "a kind that is none": (
        BEGUN + b"\x55",
        f"{INVALID}: Unknown section type 85",
        [],
        ["Unknown savevm section type 85", INVALID],
    ),
    "no footer": (
        BEGUN + STATE + vmstream.global_state("running", asleep=False) + b"\x55",
        f"{INVALID}: Section footer error, section_id: 3",
        [MISSING],
        [MISSING, INVALID],
    ),
    "a command that is none": (
        BEGUN + COMMAND,
        f"{INVALID}: MIG_CMD 0x5399 unknown (len 0x0)",
        [],
        ["MIG_CMD 0x5399 unknown (len 0x0)", INVALID],
    ),
    "a part of nothing": (
        BEGUN + vmstream.section_part(vmstream.PART, 77),
        f"{INVALID}: Unknown section 77",
        [],
        ["Unknown savevm section 77", INVALID],
    ),
}


async def test_a_package_that_does_not_say_how_long_it_is(make_pair):
    malformed = bytes([vmstream.COMMAND]) + vmmessage.frame(vmmessage.COMMAND_PACKAGED, b"ab")
    pair = await make_pair(shared=False)
    text = "CMD_PACKAGED with 2 bytes where its length was expected"
    assert text in await fail(pair, BEGUN + malformed, (11, 1, 3))


async def fail(pair, sent, version):
    """Send that to the destination, wait until it has failed, and return its `error-desc`."""
    pair.destination.version = version
    pair.access = pair.access._replace(version=version)
    pair.listen()
    _, writer = await asyncio.open_unix_connection(pair.transport.address.path)
    writer.write(sent)
    assert await pair.destination.until("failed", "completed") == "failed"
    writer.close()
    assert pair.destination.exit_status == 1
    return pair.destination.migration.query()["error-desc"]


@pytest.mark.parametrize("case", RECORDED)
async def test_the_newer_qemu_tells_its_clients(make_pair, case, caplog):
    sent, described, printed, _ = RECORDED[case]
    pair = await make_pair(shared=False)
    assert await fail(pair, sent, (11, 1, 3)) == described
    assert printed_in(caplog) == [*printed, described]


@pytest.mark.parametrize("case", RECORDED)
async def test_the_older_qemu_prints_it(make_pair, case, caplog):
    sent, _, _, printed = RECORDED[case]
    pair = await make_pair(shared=False)
    assert await fail(pair, sent, (7, 2, 22)) == printed[-1]
    assert printed_in(caplog) == printed


def printed_in(caplog):
    """What went to stderr; asyncio's remarks on a slow machine do not."""
    return [record.getMessage() for record in caplog.records if record.name != "asyncio"]
