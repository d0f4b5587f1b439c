import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi.chardev_opts import chardev_arguments, from_text


def _unix(path, **more):
    return {"addr": {"type": "unix", "data": {"path": path}}, **more}


def _inet(host, port, **more):
    return {"addr": {"type": "inet", "data": {"host": host, "port": port}}, **more}


@pytest.mark.parametrize(
    ("text", "kind", "data"),
    [
        ("null", "null", {}),
        ("stdio", "stdio", {}),
        ("mon:stdio", "stdio", {}),
        ("file:/tmp/log", "file", {"out": "/tmp/log"}),
        ("unix:/a,,b", "socket", _unix("/a,b", server=False)),
        ("unix:/a,server=on,wait=off", "socket", _unix("/a", server=True, wait=False)),
        ("unix:/a,server,nowait", "socket", _unix("/a", server=True, wait=False)),
        ("unix:/a,server=on", "socket", _unix("/a", server=True, wait=True)),
        ("tcp:host:1,nodelay=on", "socket", _inet("host", "1", server=False, nodelay=True)),
        ("tcp::0,server=on,wait=off", "socket", _inet("", "0", server=True, wait=False)),
        (
            "unix:,fd=7,server=on,wait=off",
            None,
            "None or one of 'path', 'fd' or 'host' option required.",
        ),
        ("telnet:h:1", None, "'telnet' of a chardev is not simulated by qemu-sim"),
        ("pty", None, "chardev backend 'pty' is not simulated by qemu-sim"),
        ("vc:80Cx24C", None, "chardev backend 'vc' is not simulated by qemu-sim"),
        ("/dev/ttyS0", None, "chardev backend 'serial' is not simulated by qemu-sim"),
        ("fd:3", None, "'fd:3' is not a valid char driver"),
        ("tcp:h", None, ""),
    ],
)
def test_the_older_spelling(text, kind, data):
    if kind is not None:
        made = chardev_arguments("c0", from_text(text))
        assert made == {"id": "c0", "backend": {"type": kind, "data": data}}
        return
    with pytest.raises(QMPError) as caught:
        chardev_arguments("c0", from_text(text))
    assert str(caught.value) == data


def test_a_descriptor():
    made = chardev_arguments("c0", {"backend": "socket", "fd": "7", "server": True, "wait": False})

    assert made["backend"]["data"]["addr"] == {"type": "fd", "data": {"str": "7"}}
