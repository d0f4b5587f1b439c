"""The object secret, as a manager gives one to every machine it starts."""

import base64

import pytest

from qemu_sim.backends.iothread import IOThread
from qemu_sim.backends.object import Place
from qemu_sim.backends.secret import Secret
from qemu_sim.errors import QMPError


def test_a_secret_is_read_from_its_file(tmp_path):
    (tmp_path / "key").write_bytes(bytes(range(32)))
    made = Secret("s", {"file": str(tmp_path / "key")})
    assert made.options["format"] == "raw"
    assert made.options["data"] == ""


def test_base64_is_taken():
    assert Secret("s", {"data": base64.b64encode(b"abc").decode(), "format": "base64"}).id == "s"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Either 'file' or 'data' must be provided"),
        ({"data": "x", "file": "y"}, "'file' and 'data' are mutually exclusive"),
        ({"data": "%%", "format": "base64"}, "Base64 data contains invalid characters"),
        (
            {"file": "/nowhere"},
            "Unable to read /nowhere: Failed to open file “/nowhere”: No such file or directory",
        ),
        ({"file": "/"}, "Unable to read /: Error reading file “/”: Is a directory"),
        ({"data": "x", "keyid": "k"}, "No secret with id 'k'"),
    ],
)
def test_what_cannot_be_read_is_refused_in_qemus_words(options, words):
    with pytest.raises(QMPError) as caught:
        Secret("s", options)
    assert str(caught.value) == words


def test_a_key_is_no_other_object():
    thread = IOThread("k", {})
    with pytest.raises(QMPError) as caught:
        Secret("s", {"data": "x", "keyid": "k"}, Place({"k": thread}))
    thread.close()
    assert str(caught.value) == "Object with id 'k' is not a secret"


def test_encryption_is_not_simulated():
    key = Secret("k", {"data": "x"})
    with pytest.raises(QMPError, match="encrypted by another is not simulated"):
        Secret("s", {"data": "x", "keyid": "k"}, Place({"k": key}))
