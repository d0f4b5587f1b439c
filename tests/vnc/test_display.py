"""What a display tells a client of QMP. The answers are those of QEMU 7.2.22 and 11.1.3."""

import re
import socket

import pytest

from qemu_sim.testing import QMPError, StartFailed

CLIENT = {"family": "unix", "service": "", "host": "", "websocket": False}


def server(path, auth="none"):
    return {"family": "unix", "service": path, "host": "", "websocket": False, "auth": auth}


def test_it_is_shown_where_it_listens(make_display):
    machine, path = make_display(",id=screen")
    shown = {"enabled": True, "auth": "none", "family": "unix", "service": path, "host": ""}
    assert machine.execute("query-vnc") == {**shown, "clients": []}
    (display,) = machine.execute("query-vnc-servers")
    assert display == {"id": "screen", "auth": "none", "server": [server(path)], "clients": []}
    assert "screen:" in machine.execute("human-monitor-command", command_line="info vnc")


def test_a_machine_without_one_says_so(make_machine):
    machine = make_machine("-M", "none", "-vnc", "none")
    assert machine.execute("query-vnc") == {"enabled": False}
    assert machine.execute("query-vnc-servers") == []
    assert machine.execute("human-monitor-command", command_line="info vnc") == "None\r\n"


def test_displays_without_a_name_are_numbered(make_machine, tmp_path):
    argv = [word for name in "abc" for word in ("-vnc", f"unix:{tmp_path / name}")]
    machine = make_machine("-M", "none", *argv)
    found = machine.execute("query-vnc-servers")
    assert [each["id"] for each in found] == ["default", "vnc2", "vnc3"]


def test_events_tell_of_a_client(make_display, viewers):
    machine, path = make_display()
    viewer = viewers(path)
    data = {"server": server(path), "client": CLIENT}
    assert machine.wait_event("VNC_CONNECTED")["data"] == data
    assert machine.execute("query-vnc")["clients"] == [CLIENT]
    screen, title = viewer.enter()
    assert screen.startswith(b"\x02\x80\x01\xe0")
    assert title == b"QEMU (vm0)"
    assert machine.wait_event("VNC_INITIALIZED")["data"] == data
    viewer.sock.close()
    assert machine.wait_event("VNC_DISCONNECTED")["data"] == data
    assert machine.execute("query-vnc")["clients"] == []


def test_the_window_has_the_name_of_the_guest(make_display, viewers):
    _, path = make_display("", "-name", "vm1")
    _, title = viewers(path).enter()
    assert title == b"QEMU (vm1)"


@pytest.mark.parametrize(
    ("policy", "shares", "remain"),
    [
        ("allow-exclusive", (True, True), "both"),
        ("allow-exclusive", (True, False), "second"),
        ("allow-exclusive", (False, True), "first"),
        ("force-shared", (True, False), "first"),
        ("ignore", (False, False), "both"),
    ],
)
def test_who_shares_with_whom(make_display, viewers, policy, shares, remain):
    machine, path = make_display(f",share={policy}")
    one = viewers(path)
    one.enter(shared=shares[0])
    two = viewers(path)
    two.sock.sendall(b"RFB 003.008\n\1" + bytes([shares[1]]))
    two.read(6)
    assert (two.read(1) == b"\x02") == (remain != "first")
    if remain == "second":
        assert one.has_ended()
    clients = machine.execute("query-vnc")["clients"]
    assert len(clients) == (2 if remain == "both" else 1)


def test_too_many_that_do_not_come_in_push_the_first_out(make_display, viewers):
    _, path = make_display(",connections=2")
    first, *others = [viewers(path) for _ in range(3)]
    assert first.has_ended()
    for other in others:
        other.enter()


def test_it_can_move_and_keeps_its_clients(make_display, viewers, tmp_path):
    machine, path = make_display()
    viewer = viewers(path)
    viewer.enter()
    there = str(tmp_path / "there")
    machine.execute("display-update", type="vnc", addresses=[{"type": "unix", "path": there}])
    assert machine.execute("query-vnc")["service"] == there
    assert len(machine.execute("query-vnc")["clients"]) == 1
    viewers(there).enter()
    machine.execute("display-update", type="vnc", addresses=[])
    assert machine.execute("query-vnc") == {"enabled": False}


def test_a_client_may_come_as_a_descriptor(make_display, viewers):
    machine, _ = make_display()
    ours, theirs = socket.socketpair()
    with theirs:
        machine.send_fd("viewer", theirs.fileno())
    machine.execute("add_client", protocol="vnc", fdname="viewer", skipauth=True)
    viewers(ours).enter()


@pytest.mark.parametrize(
    ("profile", "words"),
    [("11.1", "VNC password authentication is disabled"), ("7.2", "Could not set password")],
)
def test_a_display_without_a_password_gets_none(make_display, profile, words):
    machine, _ = make_display("", "-sim", f"profile={profile}")
    for command in ("set_password", "change-vnc-password"):
        protocol = {"protocol": "vnc"} if command == "set_password" else {}
        with pytest.raises(QMPError, match=f"^{words}$"):
            machine.execute(command, password="x", **protocol)


def test_a_display_that_is_not_there(make_display):
    machine, _ = make_display()
    with pytest.raises(QMPError, match=r"^No VNC display is present$"):
        machine.execute("set_password", protocol="vnc", password="x", display="nope")
    with pytest.raises(QMPError, match=r"^Could not set password expire time$"):
        machine.execute("expire_password", protocol="vnc", time="now", display="nope")


@pytest.mark.parametrize(
    ("screen", "words"),
    [
        ("display=nope", "Device 'nope' not found"),
        ("display=n", "Device n (head 0) is not bound to a QemuConsole"),
        ("display=v,head=1", "Device v (head 1) is not bound to a QemuConsole"),
    ],
)
def test_a_screen_that_no_device_has(make_machine, tmp_path, screen, words):
    devices = ("-device", "VGA,id=v", "-device", "virtio-net-pci,id=n")
    with pytest.raises(StartFailed, match=re.escape(words)):
        make_machine("-M", "q35", *devices, "-vnc", f"unix:{tmp_path}/vnc,{screen}")


def test_the_screen_of_a_device(make_machine, tmp_path):
    screen = f"unix:{tmp_path}/vnc,display=v,head=0"
    machine = make_machine("-M", "q35", "-device", "VGA,id=v", "-vnc", screen)
    assert machine.execute("query-vnc")["enabled"]
