"""Play one recorded case again, and tell the first difference."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from typing import Any

from emulator import Emulator, Inside, Outside, listening
from recorded import Case, difference

_SLOW = 10.0  # seconds until an expected answer is given up
_LONG = 60.0  # the same, where millions of tokens have to be read first
_QUIET = 0.03  # seconds in which an answer that is not expected would come
_LOOKS = 5
_PIECE = 1 << 20  # bytes
_STAYS = 0.5  # seconds in which a process that must not end would have ended
_FINISHED = re.compile(rb"(^|\n)(\{.*)?\}\r\n$")  # also of a pretty message
_NEGOTIATION = {
    "neg": b'{"execute":"qmp_capabilities"}\n',
    "oob": b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}\n',
}
_DESCRIPTORS = {"null": os.O_RDWR, "rdonly": os.O_RDONLY}


class Replay:
    """The processes, sockets and files of one case."""

    def __init__(self, case: Case, command: list[str], inside: list[str] | None) -> None:
        """`command` starts the emulator; `inside` are its settings when it may run here."""
        self._case = case
        self._command = command
        self._inside = None if case.needs_process else inside
        # Always as long as when it was recorded: columns in syntax errors count its bytes.
        self._directory = tempfile.mkdtemp(prefix="qg", dir="/tmp")
        self._emulators: dict[str, Emulator] = {}
        self._clients: dict[str, socket.socket] = {}
        self._ended: set[str] = set()
        self._listeners: list[socket.socket] = []
        self._patience = _SLOW

    async def run(self) -> str | None:
        """Return the first difference, or None."""
        try:
            found = await self._play()
        except (TimeoutError, OSError, AssertionError) as error:
            found = f"{type(error).__name__}: {error}"
        finally:
            complaints = await self._close()
        return "\n".join(complaints) or found

    async def _play(self) -> str | None:
        self._fill_files()
        if self._case.prelude != "none":
            await self._spawn("vm", self._case.argv, "qmp")
            await self._connect("m0", "qmp")
        if self._case.prelude in _NEGOTIATION:
            await self._read("m0", _FINISHED.search)
            await self._send("m0", _NEGOTIATION[self._case.prelude])
            await self._read("m0", _FINISHED.search)
        for number, step in enumerate(self._case.steps):
            text = await self._step(step)
            deadline = time.monotonic() + _SLOW
            # Something goes on in the background: QEMU was asked when it was over.
            while text is not None and step.get("settles") and time.monotonic() < deadline:
                text = await self._step(step)
            if text is not None:
                return f"step {number}: {text}"
        return None

    def _fill_files(self) -> None:
        for name, size in self._case.random_files.items():
            with open(os.path.join(self._directory, name), "wb") as file:
                file.write(random.Random(1).randbytes(size))

    async def _step(self, step: dict[str, Any]) -> str | None:
        client = step.get("c", "m0")
        got: bytes | None = await getattr(self, f"_do_{step['op']}")(client, step)
        if got is None and "expect" in step and not step.get("noread"):
            got = await self._answer(client, step)
        if got is None:
            return None
        return difference(step, self._unnamed(got), client in self._ended, self._case.normalise)

    # Each step does its part; one that returns None is followed by reading the answer.

    async def _do_send(self, client: str, step: dict[str, Any]) -> None:
        fds = [os.open(os.devnull, _DESCRIPTORS[kind]) for kind in step.get("fds", ())]
        try:
            await self._send(client, self._named(step["data"]).encode("latin-1"), fds)
        finally:
            for fd in fds:
                os.close(fd)

    async def _do_send_gen(self, client: str, step: dict[str, Any]) -> None:
        self._patience = _LONG
        text = step["pre"] + step["unit"] * step["count"] + step["post"]
        await self._send(client, text.encode("latin-1"))

    async def _do_recv(self, client: str, step: dict[str, Any]) -> None:
        pass

    async def _do_connect(self, client: str, step: dict[str, Any]) -> None:
        await self._connect(client, step.get("path", "qmp"))

    async def _do_close(self, client: str, step: dict[str, Any]) -> None:
        self._clients.pop(client).close()

    async def _do_sleep(self, client: str, step: dict[str, Any]) -> None:
        await asyncio.sleep(step["t"])

    async def _do_spawn(self, client: str, step: dict[str, Any]) -> None:
        await self._spawn(step["p"], step["argv"] + step["mon"], step.get("path", "qmp"))

    async def _do_exit(self, client: str, step: dict[str, Any]) -> bytes:
        self._ended.discard(client)
        emulator = self._emulators[step.get("p", "vm")]
        if step["expect"] == "rc=running":
            return (await emulator.status(_STAYS)).encode()
        return (await emulator.status()).encode()

    async def _do_stderr(self, client: str, step: dict[str, Any]) -> bytes:
        self._ended.discard(client)
        return self._emulators[step.get("p", "vm")].printed()

    async def _do_signal(self, client: str, step: dict[str, Any]) -> None:
        self._emulators[step.get("p", "vm")].send_signal(getattr(signal, step["sig"]))

    async def _do_listen(self, client: str, step: dict[str, Any]) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(self._directory, step["path"]))
        listener.listen(8)
        self._listeners.append(listener)

    async def _do_mkfifo(self, client: str, step: dict[str, Any]) -> None:
        os.mkfifo(os.path.join(self._directory, step["path"]))

    async def _do_unblock(self, client: str, step: dict[str, Any]) -> None:
        # Without a reader this fails, rather than waits for one.
        path = os.path.join(self._directory, step["path"])
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    async def _spawn(self, name: str, argv: list[str], path: str | None) -> None:
        fds: list[int] = []
        arguments = [self._inherited(self._named(argument), fds) for argument in argv]
        if self._inside is not None:
            started: Emulator = await Inside.start([*self._inside, *arguments])
        else:
            log = os.path.join(self._directory, f"{name}.stderr")
            started = Outside([*self._command, *arguments], log, fds)
            for fd in fds:
                os.close(fd)
        self._emulators[name] = started
        if path is not None:
            await listening(started, os.path.join(self._directory, path))

    def _inherited(self, argument: str, fds: list[int]) -> str:
        """Let `@LFD:NAME@` be a listening socket that the emulator inherits."""
        found = re.search("@LFD:(.*)@", argument)
        if found is None:
            return argument
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(self._directory, found[1]))
        listener.listen(1)
        fds.append(listener.detach())
        return argument.replace(found[0], str(fds[-1]))

    async def _connect(self, client: str, path: str) -> None:
        sock = self._clients[client] = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        sock.connect(os.path.join(self._directory, path))

    async def _send(self, client: str, data: bytes, fds: list[int] | None = None) -> None:
        sock = self._clients[client]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # to be seen by reading
            if fds:
                data = data[socket.send_fds(sock, [data], fds) :]
            await asyncio.get_running_loop().sock_sendall(sock, data)

    async def _answer(self, client: str, step: dict[str, Any]) -> bytes:
        """Read as many lines as were recorded, and what may come on top of them."""
        if "until" in step:
            return await self._read(client, re.compile(step["until"].encode()).search)
        if step.get("eof"):
            return await self._read(client, lambda _: False)
        if "total" in step:
            return await self._read(client, lambda data: len(data) >= step["total"])
        lines = step["expect"].count("\r\n")
        return await self._read(client, lambda data: data.count(b"\r\n") >= lines)

    async def _read(self, client: str, enough: Callable[[bytes], object]) -> bytes:
        data = b""
        while client not in self._ended:
            got = await (self._rest(client) if enough(data) else self._next(client))
            if got is None:
                break
            if not got:
                self._ended.add(client)
            data += got
        return data

    async def _next(self, client: str) -> bytes | None:
        """Return what comes next, nothing at the end; None if nothing comes in time."""
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.get_running_loop().sock_recv(self._clients[client], _PIECE)
        except TimeoutError:
            return None
        except ConnectionResetError:
            return b""

    async def _rest(self, client: str) -> bytes | None:
        """Return what comes in a short while; None if nothing does.

        In several looks: a machine in this process may hold up the first.
        """
        for _ in range(_LOOKS):
            await asyncio.sleep(_QUIET / _LOOKS)
            try:
                return self._clients[client].recv(_PIECE)
            except BlockingIOError:
                pass
            except ConnectionResetError:
                return b""
        return None

    def _named(self, text: str) -> str:
        return text.replace("@TMP@", self._directory)

    def _unnamed(self, data: bytes) -> bytes:
        return data.replace(self._directory.encode(), b"@TMP@")

    async def _close(self) -> list[str]:
        for sock in (*self._clients.values(), *self._listeners):
            sock.close()
        stopped = [await emulator.stop() for emulator in self._emulators.values()]
        shutil.rmtree(self._directory)
        return [text for texts in stopped for text in texts]
