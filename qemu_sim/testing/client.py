"""A QMP client for tests: commands with descriptors, and events that are kept.

Spec: docs/interop/qmp-spec.rst. It runs on the event loop of the machines.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qemu_sim.fds import Fd, close_all
from qemu_sim.io.channel import Channel

Event = dict[str, Any]
Wanted = Callable[[int, Event], bool]
"""Told an event's position and the event."""


def _never(_position: int, _event: Event) -> bool:
    return False


class QMPError(Exception):
    """A command failed. `class_` and `desc` are the reply's."""

    def __init__(self, class_: str, desc: str) -> None:
        super().__init__(desc)
        self.class_ = class_
        self.desc = desc


class MachineEnded(ConnectionError):
    """The machine is gone, and with it the answer or event that was waited for."""


class Client:
    """One connection. `events` are all that came, oldest first."""

    def __init__(self, channel: Channel, name: str) -> None:
        """Own `channel`; `name` is the machine's, for messages."""
        self.events: list[Event] = []
        self.greeting: dict[str, Any] = {}
        self.ended = False
        self._channel = channel
        self._name = name
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._claimed: set[int] = set()
        self._news = asyncio.Event()
        self._unread = bytearray()
        channel.on_data = self._receive
        channel.on_close = self._lost
        channel.start_reading()

    async def negotiate(self, within: float) -> None:
        """Wait for the greeting and enable out-of-band execution."""
        async with asyncio.timeout(within):
            while not self.greeting:
                await self._anything()
        await self.execute("qmp_capabilities", {"enable": ["oob"]}, within=within)

    async def execute(
        self,
        command: str,
        arguments: Mapping[str, Any],
        *,
        fds: Sequence[int] = (),
        oob: bool = False,
        within: float,
    ) -> Any:
        """Return the command's `return`. Raises QMPError, MachineEnded, TimeoutError.

        `fds` ride on the request and stay the caller's.
        """
        id = next(self._ids)
        message = {"exec-oob" if oob else "execute": command, "arguments": arguments, "id": id}
        reply = self._replies[id] = asyncio.get_running_loop().create_future()
        try:
            self._send(json.dumps(message).encode() + b"\n", fds)
            async with asyncio.timeout(within):
                answer = await reply
        except TimeoutError:
            text = f"machine '{self._name}' did not answer '{command}' within {within:g} s"
            raise TimeoutError(text) from None
        finally:
            del self._replies[id]
        if "error" in answer:
            raise QMPError(answer["error"]["class"], answer["error"]["desc"])
        return answer["return"]

    async def wait_event(
        self, name: str, data: Mapping[str, Any], within: float, ends: Wanted = _never
    ) -> Event:
        """Return the first event `name` with these data that no wait_event has returned yet.

        An event that `ends` the waiting is returned as well, and may be returned again.
        """

        def fits(position: int, event: Event) -> bool:
            return (
                position not in self._claimed
                and event["event"] == name
                and data.items() <= event.get("data", {}).items()
            )

        def wanted(position: int, event: Event) -> bool:
            return fits(position, event) or ends(position, event)

        position = await self.find_event(wanted, f"{name} {dict(data) or ''}".strip(), within)
        event = self.events[position]
        if not ends(position, event):
            self._claimed.add(position)
        return event

    async def find_event(self, wanted: Wanted, what: str, within: float) -> int:
        """Return the position of the first event that is `wanted`, old or new."""
        position = 0
        try:
            async with asyncio.timeout(within):
                while True:
                    for event in self.events[position:]:
                        if wanted(position, event):
                            return position
                        position += 1
                    await self._anything()
        except TimeoutError:
            seen = ", ".join(map(_spoken, self.events)) or "none"
            text = f"machine '{self._name}' sent no event {what} within {within:g} s; seen: {seen}"
            raise TimeoutError(text) from None

    def close(self) -> None:
        """End the connection."""
        self._channel.close()
        self._lost(None)

    async def _anything(self) -> None:
        """Wait until something has arrived."""
        if self.ended:
            raise MachineEnded(f"machine '{self._name}' has ended")
        self._news.clear()
        await self._news.wait()

    def _send(self, data: bytes, fds: Sequence[int]) -> None:
        if self.ended:
            raise MachineEnded(f"machine '{self._name}' has ended")
        shared = [Fd.duplicate(number) for number in fds]
        try:
            self._channel.send(data, shared)
        finally:
            close_all(shared)

    def _receive(self, data: bytes, fds: list[Fd]) -> None:
        close_all(fds)  # QMP has none in this direction
        self._unread += data
        *lines, rest = self._unread.split(b"\r\n")
        self._unread = bytearray(rest)
        for line in lines:
            self._take(json.loads(line))
        self._news.set()

    def _take(self, message: dict[str, Any]) -> None:
        if "QMP" in message:
            self.greeting = message["QMP"]
        elif "event" in message:
            self.events.append(message)
        else:
            reply = self._replies.get(message.get("id", 0))
            if reply is not None and not reply.done():
                reply.set_result(message)

    def _lost(self, _: Exception | None) -> None:
        self.ended = True
        self._news.set()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(MachineEnded(f"machine '{self._name}' has ended"))


def _spoken(event: dict[str, Any]) -> str:
    """Name an event, with what tells it from others of its name."""
    data = event.get("data", {})
    detail = data.get("status", data.get("at"))
    return event["event"] if detail is None else f"{event['event']} {detail}"
