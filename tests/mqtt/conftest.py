"""A real broker, brokers that misbehave, and subscribers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
from contextlib import asynccontextmanager

import aiomqtt
import pytest

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PASSWORD = "s3cret-word"


class Mosquitto:
    """A broker on a free port of the loopback interface, for the user `sim` only."""

    def __init__(self, directory):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._config = os.path.join(directory, "mosquitto.conf")
        passwords = os.path.join(directory, "passwords")
        with open(passwords, "w") as file:
            file.write(f"sim:{PASSWORD}\n")
        os.chmod(passwords, 0o600)
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
        with open(self._config, "w") as file:
            file.write(f"listener {self.port} 127.0.0.1\npassword_file {passwords}\nuser root\n")
        self.process = None

    @property
    def url(self):
        return f"mqtt://sim:{PASSWORD}@127.0.0.1:{self.port}/lab"

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            MOSQUITTO, "-c", self._config, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    return

    async def stop(self):
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    @asynccontextmanager
    async def subscriber(self):
        """Subscribe to everything; yields `next(topic_end)`."""
        async with aiomqtt.Client(
            "127.0.0.1", self.port, username="sim", password=PASSWORD
        ) as client:
            await client.subscribe("#", qos=1)
            yield Subscriber(client)


class Subscriber:
    """Messages in their order: topic, payload, whether it was a retained one."""

    def __init__(self, client):
        self._messages = aiter(client.messages)
        self._unclaimed = []
        self.seen = []

    async def until(self, topic_end, **members):
        """Return the first message on such a topic, with these members, not returned before.

        A status may overtake an event: it is always the latest one.
        """
        async with asyncio.timeout(10):
            while True:
                for message in self._unclaimed:
                    topic, payload, _ = message
                    if topic.endswith(topic_end) and members.items() <= payload.items():
                        self._unclaimed.remove(message)
                        return payload
                await self._receive()

    async def _receive(self):
        message = await anext(self._messages)
        self.seen.append((str(message.topic), json.loads(message.payload), message.retain))
        self._unclaimed.append(self.seen[-1])


@pytest.fixture
async def mosquitto(tmp_path):
    if MOSQUITTO is None or shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto is not installed")
    broker = Mosquitto(str(tmp_path))
    await broker.start()
    yield broker
    await broker.stop()
