"""Machines that publish, to a real broker and to some that are none."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time

import pytest

from qemu_sim.testing import StartFailed

CONNACK = bytes.fromhex("20020000")  # MQTT 3.1.1, 3.2: accepted


@pytest.fixture
def impatient(monkeypatch):
    """Let a broker have less time, so that the tests need less."""
    monkeypatch.setattr("qemu_sim.mqtt.publisher._TIMEOUT", 0.2)


async def end(writer):
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.fixture
async def stuck_broker():
    """Start a broker that says `greeting` and nothing else; yields its URL and what it got."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(greeting):
            heard = asyncio.Queue()

            async def serve(reader, writer):
                stack.push_async_callback(end, writer)
                with contextlib.suppress(ConnectionError):
                    while data := await reader.read(4096):
                        heard.put_nowait(data)
                        if greeting and data[0] == 0x10:  # CONNECT
                            writer.write(greeting)

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            stack.callback(server.close)
            return f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard

        yield start


async def test_events_and_status(make_machine, mosquitto):
    async with mosquitto.subscriber() as subscriber:
        machine = await make_machine.aio("-sim", f"mqtt={mosquitto.url}", name="vm")
        online = await subscriber.until("lab/vm/status", status="online")
        assert online["run-state"] == "running"
        assert online["pid"] == machine.pid
        await machine.aio.execute("stop")
        stopped = await subscriber.until("lab/vm/event/STOP")
        # As QMP clients get it.
        assert stopped["event"] == await machine.aio.wait_event("STOP")
        await subscriber.until("/status", **{"run-state": "paused"})
        await machine.aio.execute("cont")
        await subscriber.until("/status", **{"run-state": "running"})
        await machine.aio.execute("quit")
        await subscriber.until("/event/SHUTDOWN", dropped=0)
        offline = await subscriber.until("/status", status="offline")
    assert offline["instance"] == online["instance"]
    events = [payload for topic, payload, _ in subscriber.seen if "/event/" in topic]
    first = events[0]["sequence"]
    assert [event["sequence"] for event in events] == list(range(first, first + len(events)))


@pytest.mark.parametrize("qemu_sim_mode", ["daemon"])
async def test_the_last_will_of_a_killed_machine(make_machine, mosquitto):
    async with mosquitto.subscriber() as subscriber:
        machine = await make_machine.aio("-sim", f"mqtt={mosquitto.url}", name="vm")
        await subscriber.until("/status", status="online")
        await asyncio.to_thread(machine.kill)
        assert (await subscriber.until("/status", status="offline"))["pid"] == machine.pid
    async with mosquitto.subscriber() as late:
        await late.until("/status", status="offline")
        assert late.seen[-1][2], "retained"


async def test_a_broker_that_comes_back_misses_nothing(make_machine, mosquitto):
    async with mosquitto.subscriber() as subscriber:
        machine = await make_machine.aio("-sim", f"mqtt={mosquitto.url}")
        await subscriber.until("/status", status="online")
        await machine.aio.execute("stop")
        before = await subscriber.until("/event/STOP")
        await mosquitto.stop()
        await machine.aio.execute("cont")
        await machine.aio.execute("stop")
    await mosquitto.start()
    async with mosquitto.subscriber() as subscriber:
        after = [await subscriber.until(f"/event/{name}") for name in ("RESUME", "STOP")]
        number = before["sequence"]
        assert [event["sequence"] for event in after] == [number + 1, number + 2]
        assert after[1]["dropped"] == 0
        await machine.aio.execute("quit")


async def test_what_a_dead_broker_costs_is_counted(make_machine, mosquitto, monkeypatch):
    monkeypatch.setattr("qemu_sim.mqtt.publisher._LONGEST_PAUSE", 0.25)
    monkeypatch.setattr("qemu_sim.mqtt.publisher._CAPACITY", 5)
    await mosquitto.stop()
    machine = await make_machine.aio("-sim", f"mqtt={mosquitto.url}")
    for _ in range(10):
        await machine.aio.execute("stop")
        await machine.aio.execute("cont")
    await mosquitto.start()
    async with mosquitto.subscriber() as subscriber:
        first = await subscriber.until("")
        while "sequence" not in first:
            first = await subscriber.until("")
        # Nothing is missing but what was dropped: numbers are given before.
        assert first["sequence"] == first["dropped"] + 1 > 1
        await machine.aio.execute("quit")
        await subscriber.until("/event/SHUTDOWN", dropped=first["dropped"])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("greeting", [b"", CONNACK], ids=["silent", "deaf after CONNACK"])
async def test_a_stuck_broker_delays_no_hand_over(make_machine, stuck_broker, greeting):
    url, heard = await stuck_broker(greeting)
    source = await make_machine.aio("-sim", f"mqtt={url}")
    destination = await make_machine.aio("-sim", f"mqtt={url}", "-incoming", "defer")
    connect = await asyncio.wait_for(heard.get(), 10)
    assert b"MQTT" in connect
    # From here on this thread only waits for the machines: the broker cannot do anything at
    # all, so whatever needed it would never end.
    outcome = source.migrate_to(destination)
    assert outcome.source.status == outcome.destination.status == "completed"
    assert destination.execute("query-status")["status"] == "running"


async def test_a_silent_broker_delays_no_end(make_machine, stuck_broker, monkeypatch):
    monkeypatch.setattr("qemu_sim.mqtt.publisher._TIMEOUT", 1000)
    url, heard = await stuck_broker(b"")
    machine = await make_machine.aio("-sim", f"mqtt={url}")
    assert b"MQTT" in await asyncio.wait_for(heard.get(), 10)
    await machine.aio.execute("quit")
    assert await machine.aio.wait() == 0


async def test_a_broker_that_is_not_there_is_said_once(make_machine, mosquitto):
    await mosquitto.stop()
    machine = await make_machine.aio("-sim", f"mqtt={mosquitto.url}", mode="daemon")
    place = f"MQTT broker 127.0.0.1:{mosquitto.port}"
    lost = f"qemu-sim: warning: {place}: Connection refused; trying again\n"
    await printed(machine, lost)
    await mosquitto.start()
    await printed(machine, lost + f"qemu-sim: warning: {place}: connected\n")


async def printed(machine, text):
    """Fail unless the machine has printed this, and no more, within 10 s."""
    deadline = time.monotonic() + 10
    while machine.unwrapped.launch.printed() != text:
        assert time.monotonic() < deadline, machine.unwrapped.launch.printed()
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("impatient")
def test_a_host_that_takes_no_connection_delays_nothing(make_machine):
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # the kernel answers no further SYN
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        machine = make_machine("-sim", f"mqtt=mqtt://127.0.0.1:{full.getsockname()[1]}")
        machine.execute("stop")
        machine.wait_event("STOP")
        machine.execute("quit")
        assert machine.wait() == 0


async def test_the_password_is_in_no_log(make_machine, mosquitto, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    log = tmp_path / "wire"
    url = mosquitto.url.replace("sim:", "nobody:")
    refused = await make_machine.aio("-sim", f"mqtt={url},wire-log={log}")
    accepted = await make_machine.aio("-sim", f"mqtt={mosquitto.url}")
    async with mosquitto.subscriber() as subscriber:
        await subscriber.until("/status", status="online")
    await wait_for_line(caplog, "MQTT broker 127.0.0.1")
    for machine in (refused, accepted):
        assert machine.execute("query-status")["running"]
        machine.close()
    password = mosquitto.url.split(":")[2].partition("@")[0]
    assert password in mosquitto.url
    assert password not in caplog.text + log.read_text()


async def wait_for_line(caplog, text):
    """Fail unless the log has such a line within 10 s."""
    deadline = time.monotonic() + 10
    while text not in caplog.text:
        assert time.monotonic() < deadline, caplog.text
        await asyncio.sleep(0.01)


def test_a_bad_url_ends_the_start(make_machine):
    for mode in ("in-process", "daemon"):
        with pytest.raises(StartFailed, match="-sim: mqtt: expected mqtt://") as caught:
            make_machine("-sim", "mqtt=http://user:hidden@host", mode=mode)
        assert "hidden" not in str(caught.value)


def test_who_does_not_ask_for_it_pays_nothing(make_machine):
    machine = make_machine(mode="daemon")
    with open(f"/proc/{machine.pid}/maps") as maps:
        assert "pydantic" not in maps.read()
    assert len(os.listdir(f"/proc/{machine.pid}/task")) == 1

    async def tasks():
        return {task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}}

    make_machine(name="idle")
    thread = make_machine._thread
    assert thread.call(tasks(), 1) == {"machine idle"}
