"""Publishes a machine's events and status, as long as a broker takes them.

The machine only puts events into a bounded queue. One task takes them out: it connects,
publishes one at a time, and after any trouble waits and tries again. So a broker that is
dead, slow or stuck costs events, which are counted, and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiomqtt

from qemu_sim.mqtt.broker import Broker
from qemu_sim.mqtt.messages import EventMessage, Status, StatusMessage, Topics
from qemu_sim.mqtt.outbox import Outbox
from qemu_sim.mqtt.reachability import Reachability

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_log = logging.getLogger(__name__)

_CAPACITY = 1024  # events that may wait for the broker
_TIMEOUT = 3.0  # seconds that a broker has for any answer
_GOODBYE = 1.0  # seconds for what still waits when the machine ends
_FIRST_PAUSE = 0.25  # seconds between attempts, doubled each time
_LONGEST_PAUSE = 15.0
_AT_LEAST_ONCE = 1  # MQTT 3.1.1, 4.3.2


class Publisher:
    """The MQTT side of one machine, from `start` to `close`."""

    def __init__(self, url: str, machine: Machine) -> None:
        """Nothing is connected yet. Raises StartError for a URL that is none."""
        self._broker = Broker.parse(url)
        self._reachability = Reachability(self._broker)
        self._machine = machine
        self._instance = secrets.token_hex(4)
        self._topics = Topics(self._broker.prefix, machine.options.name)
        self._outbox = Outbox(_CAPACITY)
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._told_run_state: str | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen to the machine and connect in the background."""
        self._unsubscribe = self._machine.events.subscribe(self._occurred)
        self._machine.run_state.watch(self._news.set)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="mqtt")

    async def close(self) -> None:
        """Publish what waits, if the broker takes it soon, and say goodbye."""
        if self._task is None:
            return
        self._unsubscribe()
        self._closing.set()
        await asyncio.wait([self._task])

    def _occurred(self, event: dict[str, Any]) -> None:
        self._outbox.put(event)
        self._news.set()

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            try:
                if await self._is_there():
                    async with self._connection() as client:
                        pause = _FIRST_PAUSE
                        self._reachability.found()
                        await self._serve(client)
            except (aiomqtt.MqttError, OSError) as error:
                self._reachability.lost(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the machine goes on
                self._machine.bug(error)
                return
            await self._first_of(asyncio.sleep(pause))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _is_there(self) -> bool:
        """Whether somebody accepts connections; False when closing comes first.

        aiomqtt connects in a thread, which nobody could stop: the process would have to
        wait for a host that does not answer. So it connects only where this just worked.
        """
        return await self._first_of(self._try_connecting())

    async def _try_connecting(self) -> None:
        async with asyncio.timeout(_TIMEOUT):
            _, writer = await asyncio.open_connection(self._broker.host, self._broker.port)
        writer.close()
        await writer.wait_closed()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiomqtt.Client]:
        broker = self._broker
        will = aiomqtt.Will(self._topics.status, self._status("offline"), _AT_LEAST_ONCE, True)
        client = aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            identifier=f"qemu-sim-{self._instance}",
            will=will,
            timeout=_TIMEOUT,
        )
        # aiomqtt replaces this one if the broker leaves right after its consent.
        first = client._disconnected  # noqa: SLF001 - see _drop
        try:
            await self._connect(client)
            try:
                yield client
            finally:
                await client.__aexit__(None, None, None)
        finally:
            _drop(client, first)

    async def _connect(self, client: aiomqtt.Client) -> None:
        """Connect; when the machine ends, wait no longer for the broker's consent."""
        loop = asyncio.get_running_loop()
        connecting = loop.create_task(client.__aenter__())
        closing = loop.create_task(self._closing.wait())
        await asyncio.wait((connecting, closing), return_when=asyncio.FIRST_COMPLETED)
        # Before it has this task, it is in the thread that cannot be stopped, for a moment.
        if client._misc_task is not None:  # noqa: SLF001 - aiomqtt has no public way
            connecting.cancel()
        closing.cancel()
        await asyncio.wait((connecting, closing))
        if connecting.cancelled():
            raise aiomqtt.MqttError("no consent before the machine ended")
        connecting.result()

    async def _serve(self, client: aiomqtt.Client) -> None:
        """Publish until the broker is lost, which raises, or the machine ends."""
        self._told_run_state = None
        loop = asyncio.get_running_loop()
        pumping = loop.create_task(self._pump(client))
        watching = loop.create_task(_until_lost(client))
        try:
            await asyncio.wait((pumping, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pumping.cancel()
            watching.cancel()
            await asyncio.wait((pumping, watching))
        errors = [task.exception() for task in (pumping, watching) if not task.cancelled()]
        for error in errors:
            if error is not None:
                raise error

    async def _pump(self, client: aiomqtt.Client) -> None:
        """Publish what is new, until the machine ends: then the rest, and that it ended."""
        await self._publish_run_state(client)
        while not self._closing.is_set():
            await self._publish_news(client)
            await self._publish_run_state(client)
            await self._first_of(self._news.wait())
        try:
            async with asyncio.timeout(_GOODBYE):
                await self._publish_news(client)
        except TimeoutError:
            _log.info("MQTT broker %s: %d events were not taken", self._broker, len(self._outbox))
        await self._publish_status(client, "offline")

    async def _publish_news(self, client: aiomqtt.Client) -> None:
        self._news.clear()
        while self._outbox:
            entry = self._outbox.first()
            message = EventMessage(
                instance=self._instance,
                sequence=entry.sequence,
                dropped=self._outbox.dropped,
                event=entry.event,
            )
            topic = self._topics.event(entry.event["event"])
            await client.publish(topic, message.to_json(), _AT_LEAST_ONCE)
            self._outbox.sent(entry)
            await self._publish_run_state(client)

    async def _publish_run_state(self, client: aiomqtt.Client) -> None:
        run_state = self._machine.run_state.value
        if run_state != self._told_run_state:
            await self._publish_status(client, "online", run_state)
            self._told_run_state = run_state

    async def _publish_status(
        self, client: aiomqtt.Client, status: Status, run_state: str | None = None
    ) -> None:
        payload = self._status(status, run_state)
        await client.publish(self._topics.status, payload, _AT_LEAST_ONCE, retain=True)

    def _status(self, status: Status, run_state: str | None = None) -> str:
        message = StatusMessage(
            instance=self._instance, status=status, run_state=run_state, pid=os.getpid()
        )
        return message.to_json()

    async def _first_of(self, coroutine: Coroutine[Any, Any, Any]) -> bool:
        """Wait for `coroutine` or for `close`; whether it was the former."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(coroutine)
        closing = loop.create_task(self._closing.wait())
        try:
            await asyncio.wait((task, closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            task.cancel()
            await asyncio.wait((task, closing))
        if task.cancelled():
            return False
        task.result()
        return True


async def _until_lost(client: aiomqtt.Client) -> None:
    """Raise when the connection ends; nothing is subscribed to."""
    async for _ in client.messages:
        pass


def _drop(client: aiomqtt.Client, first: asyncio.Future[None]) -> None:
    """Close the socket, which aiomqtt leaves open where the broker does not answer.

    And look at its errors once: we know already, and asyncio complains of those unseen.
    """
    client._client._sock_close()  # noqa: SLF001 - aiomqtt has no public way; nor for the rest
    for future in (first, client._connected, client._disconnected):  # noqa: SLF001
        if future.done() and not future.cancelled():
            future.exception()
