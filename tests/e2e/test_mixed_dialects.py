"""Only one side speaks the dialect `devices`: nobody answers its offer, or nobody made one.

Both ends ask for all that they can; the migration fails, and the guest stays where it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from qemu_sim.testing.ping import Ping

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
LISTED = ["/machine/peripheral/nic0/virtio-backend"]
RETURN_PATH = {"capability": "return-path", "state": True}
ASKING = {
    "local": ("migrate-set-parameters", {"local": True}),
    "bool": ("migrate-set-parameters", {"backend-transfer": True}),
    "enum": ("migrate-set-parameters", {"backend-transfer": ["virtio-net-tap"]}),
    "list": ("migrate-set-parameters", {"backend-transfer": LISTED}),
    "capability": (
        "migrate-set-capabilities",
        {"capabilities": [{"capability": "local-tap", "state": True}]},
    ),
}
OTHERS = pytest.mark.parametrize("dialect", ASKING)
MACHINE = ("-M", "pc", "-m", "16")
NIC = ("-device", "virtio-net-pci,id=nic0,netdev=net0")


@pytest.fixture
def start(make_machine, netns):
    """Start one end that asks for its TAP in `dialect`."""

    def run(name, dialect, *more):
        machine = make_machine(*MACHINE, "-sim", f"dialect={dialect}", *more, name=name)
        on = RETURN_PATH | {"state": dialect != "devices"}
        machine.execute("migrate-set-capabilities", capabilities=[on])
        early = dialect in ("local", "bool", "enum")
        if early:
            machine.execute(*ASKING[dialect])
        incoming = "-incoming" in more
        late = {"local-incoming": True} if incoming and dialect == "capability" else {}
        tap = {"type": "tap", "id": "net0", "ifname": "tap0", "script": "no", "downscript": "no"}
        machine.execute("netdev_add", {**tap, **late})
        machine.execute("device_add", driver="virtio-net-pci", id="nic0", netdev="net0")
        if not early and dialect != "devices":
            machine.execute(*ASKING[dialect])
        if not incoming:
            netns.up("tap0", "10.0.0.1/24")
        return machine

    return run


def is_served():
    ping = Ping("10.0.0.2")
    ping.run(3, 0.002, 2.0)
    return ping.report()["received"] == 3


def failed(wait, machine):
    wait(lambda: machine.execute("query-migrate").get("status") == "failed", "it fails")
    return machine.execute("query-migrate").get("error-desc")


@OTHERS
def test_the_offer_is_not_understood(start, wait, tmp_path, dialect):
    source = start("source", "devices")
    destination = start("destination", dialect, "-incoming", "defer")
    uri = f"unix:{tmp_path}/mig"
    destination.execute("migrate-incoming", {"uri": uri, "exit-on-error": False})
    source.execute("migrate", uri=uri, backend_transfer=True)
    text = "load of migration failed: Invalid argument: MIG_CMD 0x5301 unknown (len 0x4)"
    assert failed(wait, destination) == text
    text = "the destination failed where the answer to the offer was expected"
    assert failed(wait, source) == text
    assert source.execute("query-status")["running"]
    assert not any(event["event"] == "STOP" for event in source.events)
    assert is_served()


@OTHERS
def test_what_comes_was_not_offered(start, wait, tmp_path, dialect):
    """The destination has not opened its TAP, and finds it busy when the stream begins."""
    source = start("source", dialect)
    destination = start("destination", "devices", "-incoming", "defer")
    uri = f"unix:{tmp_path}/mig"
    destination.execute("migrate-incoming", {"uri": uri, "exit-on-error": False})
    source.execute("migrate", uri=uri)
    assert "could not configure /dev/net/tun (tap0)" in failed(wait, destination)
    assert failed(wait, source)
    assert source.execute("query-status")["running"]
    assert is_served()


@pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed")
def test_a_real_qemu_does_not_understand_the_offer(start, wait, tmp_path):
    uri = f"unix:{tmp_path}/mig"
    argv = [QEMU, *MACHINE, "-nodefaults", "-display", "none", "-accel", "tcg"]
    version = subprocess.run([QEMU, "-version"], capture_output=True, text=True, check=True).stdout
    source = start("source", "devices", "-sim", f"profile={'7.2' if ' 7.2' in version else '11.1'}")
    tap = ["-netdev", "hubport,hubid=0,id=net0", *NIC]
    with subprocess.Popen([*argv, *tap, "-incoming", uri], stderr=subprocess.PIPE) as real:
        wait((tmp_path / "mig").exists, "it listens")
        source.execute("migrate", uri=uri, backend_transfer=True)
        assert failed(wait, source)
        assert real.wait(10) == 1
        assert b"MIG_CMD 0x5301 unknown (len 0x4)" in real.stderr.read()
    assert source.execute("query-status")["running"]
    assert is_served()
