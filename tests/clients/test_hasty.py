"""A client that does not wait for answers."""

import json
import socket
import time

LIMIT = 10.0  # seconds
HASTE = b"""{"execute":"qmp_capabilities"}
{"execute":"migrate","arguments":{"uri":"tcp:127.0.0.1:1"}}{"execute":"migrate_cancel"}
"""


def test_a_migration_cancelled_in_the_same_breath_ends(ours):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(LIMIT)
        sock.connect(ours.path)
        replies = sock.makefile("rb")
        sock.sendall(HASTE)
        assert "QMP" in json.loads(replies.readline())
        assert [json.loads(replies.readline()) for _ in range(3)] == [{"return": {}}] * 3
        deadline = time.monotonic() + LIMIT
        status = "cancelling"
        while status == "cancelling":
            assert time.monotonic() < deadline
            sock.sendall(b'{"execute":"query-migrate"}\n')
            status = json.loads(replies.readline())["return"]["status"]
        assert status == "cancelled"
        replies.close()
