"""Names that QEMU knows a type of device by, besides its own."""

import pytest

from qemu_sim.devices import aliases
from qemu_sim.qapi import profile as profiles
from qemu_sim.testing.client import QMPError


def test_a_device_by_its_other_name(make_machine):
    machine = make_machine("-machine", "pc", "-device", "virtio-balloon,id=b")
    machine.execute("device_add", driver="virtio-scsi", id="s")
    for id, kind in (("b", "virtio-balloon-pci"), ("s", "virtio-scsi-pci")):
        path = f"/machine/peripheral/{id}"
        assert machine.execute("qom-get", path=path, property="type") == kind
    with pytest.raises(QMPError, match=r"Property 'virtio-net-pci\.foo' not found"):
        machine.execute("device_add", driver="virtio-net", foo=1)


def test_the_types_meant_are_there():
    types = profiles.load("11.1").types
    names = ("virtio-net", "virtio-iommu", "virtio-sound", "ahci", "lsi", "e1000-82540em", "ac97")
    assert {aliases.type_of(name) for name in names} <= set(types)
    assert not set(names) & set(types)
    assert aliases.type_of("virtio-net-device") == "virtio-net-device"
