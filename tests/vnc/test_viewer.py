"""A viewer that others wrote looks at a display: vncsnapshot, which is Debian's."""

import shutil
import subprocess

import pytest
from Crypto.Cipher import DES

TIMEOUT = 20  # seconds
# The key with which viewers hide a password in a file: 23, 82, 107, ... with their bits reversed.
_FILE_KEY = bytes(int(f"{byte:08b}"[::-1], 2) for byte in (23, 82, 107, 6, 35, 78, 88, 7))


@pytest.fixture
def snapshot(tmp_path):
    if shutil.which("vncsnapshot") is None:
        pytest.skip("no vncsnapshot, Debian's package of that name")

    def take(port, password=None):
        known = []
        if password is not None:
            file = tmp_path / "password"
            hidden = DES.new(_FILE_KEY, DES.MODE_ECB).encrypt(password.encode().ljust(8, b"\0"))
            file.write_bytes(hidden)
            known = ["-passwd", str(file)]
        picture = tmp_path / "picture.jpg"
        command = [
            "vncsnapshot",
            "-quiet",
            "-allowblank",
            *known,
            f"127.0.0.1:{port - 5900}",
            str(picture),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT)
        return picture.read_bytes() if done.returncode == 0 else done.stderr

    return take


@pytest.fixture
def make_display(make_machine):
    """Return a machine whose display has these options, and the port where it listens."""

    def make(options="", *more):
        machine = make_machine("-M", "none", "-vnc", f"127.0.0.1:0,to=99{options}", *more)
        return machine, int(machine.execute("query-vnc")["service"])

    return make


def test_it_sees_a_picture(make_display, snapshot):
    _, port = make_display()
    picture = snapshot(port)
    assert picture.startswith(b"\xff\xd8")  # a JPEG
    assert b"\x01\xe0\x02\x80" in picture  # of 480 lines, 640 wide


def test_it_needs_the_password_while_that_counts(make_display, snapshot):
    machine, port = make_display(",password=on")
    assert machine.execute("query-vnc")["auth"] == "vnc"
    assert "uthentication failed" in snapshot(port, "first")
    machine.execute("set_password", protocol="vnc", password="first")
    assert isinstance(snapshot(port, "first"), bytes)
    assert "uthentication failed" in snapshot(port, "wrong")
    machine.execute("expire_password", protocol="vnc", time="now")
    assert "uthentication failed" in snapshot(port, "first")
    machine.execute("expire_password", protocol="vnc", time="+600")
    assert isinstance(snapshot(port, "first"), bytes)
    machine.execute("expire_password", protocol="vnc", time="never")
    machine.execute("change-vnc-password", password="second")
    assert isinstance(snapshot(port, "second"), bytes)


def test_the_password_may_be_a_secret(make_display, snapshot):
    secret = ("-object", "secret,id=s,data=c2VjcmV0,format=base64")
    _, port = make_display(",password-secret=s", *secret)
    assert isinstance(snapshot(port, "secret"), bytes)
