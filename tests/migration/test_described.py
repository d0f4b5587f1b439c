"""Our streams hold what their description says, by the rules of QEMU's own analyser.

scripts/analyze-migration.py finds the description behind the last zero byte, knows one
command, and reads each device's section by its description.
"""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from qemu_sim.migration.transports.file import FileTransport
from qemu_sim.wire import vmfile, vmmessage, vmstream

LOOKED_THROUGH = 10 << 20  # bytes from the end


@pytest.fixture
async def recorded(make_pair, tmp_path):
    """Record what a source sends to a peer that only listens, or into a file if it must be one."""

    async def record(*capabilities, version=(11, 1, 3)):
        pair = await make_pair({"nic0": 2, "nic1": 1}, shared=False)
        pair.source.version = version
        pair.source.machine_type = "pc-i440fx-11.1"
        pair.source.capabilities.names |= set(capabilities)
        pair.source.uuid = "11111111-1111-1111-1111-111111111111"
        pair.source.memory.write(5000, b"kept")
        if "mapped-ram" in capabilities:
            file = tmp_path / "file"
            pair.transport = FileTransport(str(file), 0)
            pair.migrate(hand_over=False)
            assert await pair.source.until("completed", "failed") == "completed"
            return file.read_bytes()
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(pair.path)
            listener.listen()
            listener.setblocking(False)
            pair.migrate(hand_over=False)
            peer, _ = await loop.sock_accept(listener)
        got = bytearray()
        with peer:
            while data := await loop.sock_recv(peer, 1 << 16):
                got += data
        assert await pair.source.until("completed", "failed") == "completed"
        return bytes(got)

    return record


async def test_the_rules_of_the_analyser(recorded):
    stream = await recorded()
    items = [item for _, item in vmfile.read(stream)]  # it checks all lengths and names
    json_at = stream.find(b"{", stream.rfind(b"\0"))
    assert stream[json_at - 5] == vmstream.VMDESCRIPTION
    assert json_at - 5 > len(stream) - LOOKED_THROUGH
    assert int.from_bytes(stream[json_at - 4 : json_at]) == len(stream) - json_at
    commands = [item for item in items if isinstance(item, vmmessage.Message)]
    assert {command.code for command in commands} <= {vmmessage.COMMAND_SWITCHOVER_START}
    assert not any(command.data for command in commands)
    assert isinstance(items[-1], vmfile.Closing)


async def test_what_it_holds(recorded):
    items = [item for _, item in vmfile.read(await recorded())]
    devices = [item.section.name for item in items if isinstance(item, vmfile.Device)]
    assert devices == ["globalstate", "/machine/peripheral/nic0", "/machine/peripheral/nic1"]
    parts = [item.part for item in items if isinstance(item, vmfile.RamPart)]
    assert parts[0].blocks == {"pc.ram": 1 << 20}
    assert sum(part.pages["pc.ram", "pages"] for part in parts) >= 1


@pytest.mark.parametrize(
    ("like", "capabilities"),
    [
        ("11.1-pc", ()),
        ("11.1-mapped-ram", ("mapped-ram",)),
        ("11.1-shared", ("x-ignore-shared", "validate-uuid")),
        ("7.2-shared", ("x-ignore-shared", "validate-uuid")),
    ],
)
async def test_the_configuration_is_described_as_a_real_qemu_does_it(
    recorded, golden_stream, like, capabilities
):
    real = golden_stream(like)
    ours = await recorded(*capabilities, version=tuple(map(int, like.partition("-")[0].split("."))))
    assert description(ours).get("configuration") == description(real).get("configuration")


def description(stream):
    return json.loads(stream[stream.find(b"{", stream.rfind(b"\0")) :])
