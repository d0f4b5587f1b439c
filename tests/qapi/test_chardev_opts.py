import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi.chardev_opts import chardev_arguments, group, shared
from qemu_sim.qapi.chardev_text import from_text


def _unix(path, **more):
    return {"addr": {"type": "unix", "data": {"path": path}}, **more}


def _inet(host, port, **more):
    return {"addr": {"type": "inet", "data": {"host": host, "port": port}}, **more}


@pytest.mark.parametrize(
    ("text", "kind", "data"),
    [
        ("null", "null", {}),
        ("stdio", "stdio", {}),
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
        ("telnet:h:1", "socket", _inet("h", "1", server=False, telnet=True)),
        ("pty", "pty", {}),
        ("vc", "vc", {}),
        ("vc:80Cx24C", "vc", {"cols": 80, "rows": 24}),
        ("vc:640x480", "vc", {"width": 640, "height": 480}),
        ("vc:x", None, ""),
        ("pipe:/a", "pipe", {"device": "/a"}),
        ("/dev/ttyS0", "serial", {"device": "/dev/ttyS0"}),
        ("/dev/parport0", "parallel", {"device": "/dev/parport0"}),
        ("udp:h:1", "udp", {"remote": _inet("h", "1")["addr"]}),
        (
            "udp::1@:2",
            "udp",
            {"remote": _inet("localhost", "1")["addr"], "local": _inet("", "2")["addr"]},
        ),
        ("udp:1", None, ""),
        ("ringbuf", None, "'ringbuf' is not a valid char driver"),
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


@pytest.mark.parametrize(
    ("opts", "kind", "data"),
    [
        ({"backend": "ringbuf", "size": 8, "path": "/a"}, "ringbuf", {"size": 8}),
        ({"backend": "hub", "chardevs.1": "b", "chardevs.0": "a"}, "hub", {"chardevs": ["a", "b"]}),
        ({"backend": "null", "logfile": "/l", "logappend": True}, "null", None),
        ({"backend": "qemu-vdagent", "mouse": True}, "qemu-vdagent", {"mouse": True}),
    ],
)
def test_other_backends(opts, kind, data):
    data = {"logfile": "/l", "logappend": True} if data is None else data
    made = chardev_arguments("c0", opts)
    assert made == {"id": "c0", "backend": {"type": kind, "data": data}}


@pytest.mark.parametrize(
    ("opts", "error"),
    [
        ({"backend": "pipe"}, "chardev: pipe: no device path given"),
        ({"backend": "serial"}, "chardev: serial/tty: no device path given"),
        ({"backend": "parallel"}, "chardev: parallel: no device path given"),
        ({"backend": "udp", "host": "h"}, "chardev: udp: remote port not specified"),
        ({"backend": "mux"}, "chardev: mux: no chardev given"),
        ({"backend": "console"}, "'console' is not a valid char driver name"),
        ({"backend": "null", "encoding": "x"}, "chardev 'c0' does not support encoding option"),
    ],
)
def test_what_is_missing(opts, error):
    with pytest.raises(QMPError) as caught:
        chardev_arguments("c0", opts)
    assert str(caught.value) == error


def test_a_shared_chardev_has_a_base():
    base, mux = shared("c0", {"backend": "pty", "mux": True})
    assert (base["id"], base["backend"]["type"]) == ("c0-base", "pty")
    assert mux == {"id": "c0", "backend": {"type": "mux", "data": {"chardev": "c0-base"}}}


def test_what_a_version_does_not_know():
    for version, key in (((11, 1, 3), "reconnect"), ((7, 2, 22), "reconnect-ms")):
        with pytest.raises(QMPError, match=f"Invalid parameter '{key}'"):
            group(version).parse(f"null,id=c0,{key}=1", print)


def test_a_descriptor():
    made = chardev_arguments("c0", {"backend": "socket", "fd": "7", "server": True, "wait": False})

    assert made["backend"]["data"]["addr"] == {"type": "fd", "data": {"str": "7"}}
