"""A client that does not wait for answers."""

import json
import socket
import time

LIMIT = 10.0  # seconds
HASTE = b"""{"execute":"qmp_capabilities"}
{"execute":"migrate","arguments":{"uri":"tcp:127.0.0.1:1"}}{"execute":"migrate_cancel"}
"""


def converse(path):
    """Return the answers, and the status that the migration ends with."""
    with socket.socket(socket.AF_UNIX) as sock, sock.makefile("rb") as replies:
        sock.settimeout(LIMIT)
        sock.connect(path)
        sock.sendall(HASTE)
        assert "QMP" in json.loads(replies.readline())
        answers = [json.loads(replies.readline()) for _ in range(3)]
        deadline = time.monotonic() + LIMIT
        status = "cancelling"
        while status == "cancelling":
            assert time.monotonic() < deadline
            sock.sendall(b'{"execute":"query-migrate"}\n')
            status = json.loads(replies.readline())["return"]["status"]
        return answers, status


def test_a_migration_cancelled_in_the_same_breath_ends(emulators):
    for emulator in emulators:
        answers, status = converse(emulator.path)
        assert answers == [{"return": {}}] * 3
        assert status in ("cancelled", "failed")  # the refusal may be faster than the client
