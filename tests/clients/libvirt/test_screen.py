"""A domain as virt-install and OpenStack define them: with a screen, sound and a watchdog."""

import socket
from xml.etree import ElementTree as ET

import pytest

from qemu_sim.wire.rfb import VERSION

SCREEN = """
    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' passwd='secret'/>
    <video><model type='{video}' heads='1' primary='yes'/></video>
    <input type='tablet' bus='usb'/>
    <input type='keyboard' bus='ps2'/>
    <sound model='ich9'/>
    <audio id='1' type='none'/>
    <watchdog model='i6300esb' action='reset'/>
    <memballoon model='virtio'><stats period='10'/></memballoon>
"""
TIMEOUT = 20  # seconds


@pytest.mark.parametrize("video", ["vga", "virtio"])
def test_a_domain_with_a_screen(libvirt, video, tmp_path):
    libvirt.define(SCREEN.format(video=video))
    libvirt.virsh("start", "guest")
    graphics = ET.fromstring(libvirt.virsh("dumpxml", "guest")).find(".//graphics")
    port = int(graphics.get("port"))
    assert libvirt.virsh("vncdisplay", "guest") == f"127.0.0.1:{port - 5900}"
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as viewer:
        assert viewer.recv(len(VERSION)) == VERSION
        viewer.sendall(VERSION)
        assert viewer.recv(2) == b"\x01\x02"  # a password is wanted
    libvirt.virsh("screenshot", "guest", str(tmp_path / "picture"))
    assert (tmp_path / "picture").stat().st_size > 0
