"""Commands, their errors and their order, over a real socket."""

import array
import asyncio
import json
import os
import socket

import pytest

from qemu_sim.monitor import connection

DONE = {"return": {}}


def generic(text):
    return {"error": {"class": "GenericError", "desc": text}}


async def test_greeting_negotiation_command(attached):
    client = attached()
    greeting = await client.line()
    assert greeting.startswith(b'{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, ')
    assert (await client.ask('{"execute":"hello"}'))["error"]["class"] == "CommandNotFound"
    assert await client.ask('{"execute":"qmp_capabilities"}') == DONE
    assert await client.ask('{"execute":"hello","id":[1]}') == {"return": {}, "id": [1]}


async def test_errors(attached):
    client = await attached().negotiate()
    assert await client.ask('{"execute":"fail"}') == generic("as it should")
    missing = await client.ask('{"execute":"nope"}')
    assert missing["error"] == {
        "class": "CommandNotFound",
        "desc": "The command nope has not been found",
    }


@pytest.mark.parametrize("name", ["crash", "crash-later", "no-json"])
async def test_a_bug_is_told_logged_and_kept(attached, machine, caplog, name):
    client = await attached().negotiate()
    reply = await client.ask(json.dumps({"execute": name, "id": 7}))
    assert reply["id"] == 7
    assert "bug in qemu-sim" in reply["error"]["desc"]
    (bug,) = machine.bugs
    assert isinstance(bug, (KeyError, TypeError))
    assert "Traceback" in caplog.text
    assert await client.ask('{"execute":"hello"}') == DONE


async def test_event_comes_before_the_reply_that_caused_it(attached):
    client, other = await attached().negotiate(), await attached("m1").negotiate()
    client.send('{"execute":"stop"}')
    assert (await client.message())["event"] == "STOP"
    assert await client.message() == DONE
    assert (await other.message())["event"] == "STOP"
    assert await other.silent()


async def test_one_in_band_at_a_time_over_all_monitors(attached, machine):
    client, other = await attached().negotiate(), await attached("m1").negotiate(oob=True)
    client.send('{"execute":"block","arguments":{"name":"a"}}{"execute":"hello","id":2}')
    other.send('{"execute":"hello","id":1}{"exec-oob":"oob-block","arguments":{"name":"b"}}')
    machine.gate("b").set()
    assert await other.message() == {"return": "b"}
    assert await other.silent()
    assert await client.silent()
    machine.gate("a").set()
    assert await client.message() == {"return": "a"}
    assert await client.message() == {"return": {}, "id": 2}
    assert await other.message() == {"return": {}, "id": 1}


async def test_out_of_band_needs_a_command_that_allows_it(attached):
    client = await attached().negotiate(oob=True)
    reply = await client.ask('{"exec-oob":"hello"}')
    assert reply == generic("The command hello does not support OOB")


async def test_quit_drops_what_follows(attached, machine):
    client = await attached().negotiate()
    client.send('{"execute":"quit"}{"execute":"hello"}')
    assert (await client.message())["event"] == "SHUTDOWN"
    assert await client.message() == DONE
    assert await client.silent()
    assert machine.ran == []


async def test_command_goes_on_when_its_client_leaves(attached, machine, monitors):
    client, other = await attached().negotiate(), await attached("m1").negotiate()
    client.send('{"execute":"block","arguments":{"name":"a"}}')
    assert await client.silent()
    client.sock.close()
    other.send('{"execute":"hello"}')
    machine.gate("a").set()
    assert await other.message() == DONE
    assert machine.ran == ["a", "hello"]


async def test_close_ends_what_runs(attached, machine, monitors):
    client = await attached().negotiate()
    client.send('{"execute":"block","arguments":{"name":"a"}}')
    assert await client.silent()
    await monitors.close()
    machine.gate("a").set()
    assert await client.line() is None
    assert machine.ran == []


async def test_descriptors_reach_the_command(attached):
    client = await attached().negotiate()
    request = b'{"execute":"getfd","arguments":{"fdname":"f"}}'
    reading, writing = os.pipe()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing]))]
    client.sock.sendmsg([request[:5]], rights)
    os.close(writing)
    client.sock.sendall(request[5:])
    assert await client.message() == DONE
    os.write(client.monitor.named_fds["f"].fileno(), b"same pipe")
    assert os.read(reading, 99) == b"same pipe"
    reply = await client.ask('{"execute":"getfd","arguments":{"fdname":"g"}}')
    assert reply == generic("No file descriptor supplied via SCM_RIGHTS")
    client.monitor.close()
    assert os.read(reading, 99) == b""
    os.close(reading)


async def test_nothing_is_read_while_a_command_runs(attached, machine):
    client = await attached().negotiate()
    client.send('{"execute":"block","arguments":{"name":"a"}}')
    assert await client.silent()
    # More than the socket and one read hold: the client must come to a halt.
    assert not await takes(client.sock, 100 * 65536)
    machine.gate("a").set()
    assert await client.message() == {"return": "a"}
    assert await client.ask('\n{"execute":"hello"}') == DONE


async def test_client_that_reads_nothing_is_dropped(attached, monkeypatch, caplog):
    monkeypatch.setattr(connection, "MAX_UNREAD", 1 << 20)
    client = await attached().negotiate()
    client.send('{"execute":"blob","arguments":{"size":4000000}}')
    for _ in range(5):
        await asyncio.sleep(0)
    assert "QMP client dropped" in caplog.text


async def test_our_own_commands_are_refused_to_remote_clients(attached):
    client, remote = attached(), attached("m1", local=False)
    await client.negotiate()
    await remote.negotiate()
    request = '{"execute":"x-sim-hello"}'
    assert await client.ask(request) == {"return": "hello"}
    text = "The command x-sim-hello is refused on a TCP monitor"
    assert await remote.ask(request) == generic(text)


async def takes(sock, size):
    """Whether the other side takes `size` bytes of white space."""
    for _ in range(size // 65536):
        try:
            sock.send(b" " * 65536)
        except BlockingIOError:
            return False
        await asyncio.sleep(0)
    return True
