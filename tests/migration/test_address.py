"""What `uri` and `channels` mean, and what QEMU 11.1 and 7.2 say to what means nothing."""

from __future__ import annotations

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.io.address import InetAddress, UnixAddress, VsockAddress
from qemu_sim.migration import address
from qemu_sim.migration.transports.exec import ExecTransport
from qemu_sim.migration.transports.fd import FdTransport
from qemu_sim.migration.transports.file import FileTransport
from qemu_sim.migration.transports.rdma import RdmaTransport
from qemu_sim.migration.transports.socket import SocketTransport

NEW, OLD = (11, 1, 0), (7, 2, 0)


def contents(transport):
    return type(transport), *vars(transport).values()


URIS = [
    ("unix:/tmp/a:b", SocketTransport, UnixAddress("/tmp/a:b"), True),
    ("tcp:host:77", SocketTransport, InetAddress("host", "77"), False),
    ("vsock:2:1234", SocketTransport, VsockAddress("2", "1234"), False),
    ("fd:name", FdTransport, "name"),
    ("exec:cat > 'a b'", ExecTransport, ("/bin/sh", "-c", "cat > 'a b'")),
    ("rdma:host:77", RdmaTransport, InetAddress("host", "77")),
]


@pytest.mark.parametrize("version", [NEW, OLD])
@pytest.mark.parametrize(("uri", "kind", "expected"), [(u, k, e) for u, k, *e in URIS])
def test_each_transport_has_its_uri(uri, kind, expected, version):
    assert contents(address.parse(uri, None, version)) == (kind, *expected)


@pytest.mark.parametrize(
    ("uri", "name", "offset"),
    [
        ("file:/a", "/a", 0),
        ("file:/a,offset=0x1000", "/a", 4096),
        ("file:/a,b,offset=1.5k", "/a,b", 1536),
        ("file:", "", 0),
    ],
)
def test_a_file_begins_at_an_offset(uri, name, offset):
    assert contents(address.parse(uri, None, NEW)) == (FileTransport, name, offset)
    with pytest.raises(address.UnknownProtocolError):
        address.parse(uri, None, OLD)


CHANNELS = [
    ({"transport": "exec", "args": ["/bin/cat", "x"]}, ExecTransport, ("/bin/cat", "x")),
    ({"transport": "file", "filename": "/a", "offset": 5}, FileTransport, "/a", 5),
    ({"transport": "rdma", "host": "h", "port": "1"}, RdmaTransport, InetAddress("h", "1")),
    ({"transport": "socket", "type": "fd", "str": "x"}, FdTransport, "x"),
    (
        {"transport": "socket", "type": "vsock", "cid": "2", "port": "1"},
        SocketTransport,
        VsockAddress("2", "1"),
        False,
    ),
]


@pytest.mark.parametrize(("addr", "kind", "expected"), [(a, k, e) for a, k, *e in CHANNELS])
def test_each_transport_has_its_channel(addr, kind, expected):
    channels = [{"channel-type": "main", "addr": addr}]
    assert contents(address.parse(None, channels, NEW)) == (kind, *expected)


@pytest.mark.parametrize(
    ("uri", "new", "old"),
    [
        ("", "unknown migration protocol: ", "unknown migration protocol: "),
        ("fd", "unknown migration protocol: fd", "unknown migration protocol: fd"),
        ("UNIX:x", "unknown migration protocol: UNIX:x", "unknown migration protocol: UNIX:x"),
        ("unix:", "invalid Unix socket address", "invalid Unix socket address"),
        ("tcp:x", "error parsing address 'x'", "error parsing address 'x'"),
        ("vsock:2", "error parsing address '2'", "error parsing address '2'"),
        ("vsock::1", "error parsing address ':1'", "error parsing address ':1'"),
        ("fd:", "invalid file descriptor address", None),
        ("rdma:x", "error parsing address 'x'", "RDMA ERROR: bad RDMA migration address 'x'"),
        ("file:a,offset=", "file URI has bad offset : Invalid argument", "*"),
        ("file:a,offset=zz", "file URI has bad offset zz: Invalid argument", "*"),
        ("file:a,offset=1x", "file URI has bad offset 1x: Invalid argument", "*"),
        ("file:a,offset=-1", "file URI has bad offset -1: Numerical result out of range", "*"),
    ],
)
def test_what_is_no_address_is_refused_in_qemus_words(uri, new, old):
    for version, words in ((NEW, new), (OLD, old)):
        if words is None:
            assert contents(address.parse(uri, None, version)) == (FdTransport, "")
            continue
        with pytest.raises(QMPError) as error:
            address.parse(uri, None, version)
        assert words in ("*", str(error.value))


def test_one_main_channel_and_no_more():
    main = {"channel-type": "main", "addr": {"transport": "socket", "type": "unix", "path": "x"}}
    empty = {"channel-type": "main", "addr": {"transport": "exec", "args": []}}
    for uri, channels, words in (
        ("unix:x", [main], "need either 'uri' or 'channels' argument"),
        (None, None, "need either 'uri' or 'channels' argument"),
        (None, [], "need either 'uri' or 'channels' argument"),
        (None, [main, main], "Channel list has more than one main entry"),
        (None, [{**main, "channel-type": "cpr"}], "Channel list has no main entry"),
        (
            None,
            [main, *2 * [{**main, "channel-type": "cpr"}]],
            "Channel list has more than one cpr entry",
        ),
        (None, [empty], "an exec channel needs a program in 'args'"),
    ):
        with pytest.raises(QMPError) as error:
            address.parse(uri, channels, NEW)
        assert str(error.value) == words
