"""What QEMU's own test program qmp-test does, byte for byte. QEMU: tests/qtest/qmp-test.c"""

import os
import threading

import pytest

ARGUMENTS = "-nodefaults -machine none"
MALFORMED = [
    b"{]\n",
    b"{\xff",
    b"{\x01",
    b"{'bad \xff",
    b"{'execute': 'nonexistent', 'id':'\n",
    b"%p",
]


@pytest.fixture
def emulator(start):
    emulator = start(ARGUMENTS)
    assert emulator.script("endianness") == "OK little"
    return emulator


def error_class(answer):
    return answer["error"]["class"]


def check_recovered(emulator):
    """The parser understands the next request."""
    assert error_class(emulator.ask({"execute": "no-such-cmd"})) == "CommandNotFound"


def check_malformed(emulator):
    for data in MALFORMED:
        emulator.raw(data)
        assert error_class(emulator.receive()) == "GenericError"
        check_recovered(emulator)
    for request in (
        None,
        {},
        {"execute": True},
        {"execute": "no-such-cmd", "arguments": []},
        {"execute": "no-such-cmd", "extra": True},
    ):
        assert error_class(emulator.ask(request)) == "GenericError"


def test_protocol(emulator):
    greeting = emulator.message()["QMP"]
    version = greeting["version"]["qemu"]
    assert {name: type(value) for name, value in version.items()} == dict.fromkeys(
        ("major", "minor", "micro"), int
    )
    assert type(greeting["version"]["package"]) is str
    assert type(greeting["capabilities"]) is list
    assert error_class(emulator.ask({"execute": "query-version"})) == "CommandNotFound"
    check_malformed(emulator)
    assert emulator.ask({"execute": "qmp_capabilities"}) == {"return": {}}
    assert error_class(emulator.ask({"execute": "qmp_capabilities"})) == "CommandNotFound"
    assert emulator.ask({"execute": "query-version"})["return"]["qemu"] == version
    check_malformed(emulator)
    assert emulator.ask({"execute": "query-name", "id": "cookie#1"})["id"] == "cookie#1"
    answer = emulator.ask({"execute": "human-monitor-command", "id": 2})
    assert (error_class(answer), answer["id"]) == ("GenericError", 2)


class Blocking:
    """An in-band command that blocks until its FIFO has had a writer."""

    def __init__(self, emulator, folder):
        self._emulator = emulator
        self._fifo = os.path.join(folder, "fifo")
        os.mkfifo(self._fifo)

    def send(self, id):
        self._emulator.send(
            {
                "execute": "blockdev-add",
                "id": id,
                "arguments": {
                    "driver": "blkdebug",
                    "node-name": id,
                    "config": self._fifo,
                    "image": {"driver": "null-co", "read-zeroes": True},
                },
            }
        )

    def unblock(self):
        """Open the FIFO for writing, which waits for its reader, and close it."""
        opened = threading.Thread(target=lambda: os.close(os.open(self._fifo, os.O_WRONLY)))
        opened.start()
        opened.join(10)
        assert not opened.is_alive()


def test_oob(emulator, folder):
    assert emulator.message()["QMP"]["capabilities"][0] == "oob"
    wrong = {"execute": "qmp_capabilities", "arguments": {"enable": ["cap-does-not-exist"]}}
    assert "error" in emulator.ask(wrong)
    enable = {"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}
    assert "return" in emulator.ask(enable)
    assert "error" in emulator.ask({"exec-oob": "query-cpus-fast"})
    blocking = Blocking(emulator, folder)
    blocking.send("ib-blocks-1")
    emulator.send({"execute": "query-name", "id": "ib-quick-1"})
    emulator.send({"exec-oob": "migrate-pause", "id": "oob-1"})
    answer = emulator.receive()
    assert (answer["id"], "error" in answer) == ("oob-1", True)
    blocking.unblock()
    assert emulator.receive()["id"] == "ib-blocks-1"
    assert emulator.receive()["id"] == "ib-quick-1"
    # Even malformed in-band requests keep their order.
    blocking.send("blocks-2")
    emulator.send({"id": "err-2"})
    blocking.unblock()
    assert emulator.receive()["id"] == "blocks-2"
    answer = emulator.receive()
    assert (answer["id"], "error" in answer) == ("err-2", True)


def test_a_blocked_command_does_not_keep_the_process(emulator, folder):
    emulator.message()
    emulator.execute("qmp_capabilities")
    Blocking(emulator, folder).send("ib-blocks-1")
    emulator.end()


def test_preconfig(start):
    emulator = start("-nodefaults --preconfig").negotiate()
    assert "return" in emulator.execute("query-commands")
    assert "error" in emulator.execute("query-cpus-fast")
    assert emulator.execute("query-status")["return"]["status"] == "prelaunch"
    assert "return" in emulator.execute("x-exit-preconfig")
    emulator.wait_event("RESUME")
    assert emulator.execute("query-status")["return"]["status"] == "running"
    assert "error" in emulator.execute("x-exit-preconfig")
    assert "return" in emulator.execute("query-cpus-fast")


def test_missing_any_argument(start):
    emulator = start(ARGUMENTS).negotiate()
    request = {
        "execute": "qom-set",
        "arguments": {"path": "/machine", "property": "rtc-time"},
    }
    assert error_class(emulator.ask(request)) == "GenericError"
