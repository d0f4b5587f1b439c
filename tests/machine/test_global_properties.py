"""What is said of a -global that has no effect, as QEMU 7.2.22 and 11.1.3 said it."""

import pytest

from qemu_sim.machine.global_properties import GlobalProperties
from qemu_sim.qapi import profile as profiles


def unused(version, owner, *made):
    given = [(owner, "x", "1")]
    defaults = GlobalProperties(profiles.load(version), given, None)
    return list(defaults.unused(lambda: set(made)))


@pytest.mark.parametrize("version", ["7.2", "11.1"])
def test_what_nobody_can_plug_is_unused_unless_it_is_there(version):
    assert unused(version, "PIIX4_PM") == ["global PIIX4_PM.x=1 not used"]
    assert unused(version, "PIIX4_PM", "PIIX4_PM") == []
    assert unused(version, "intel-iommu") == ["global intel-iommu.x=1 not used"]


@pytest.mark.parametrize("version", ["7.2", "11.1"])
def test_what_may_be_plugged_later_is_never_called_unused(version):
    assert unused(version, "virtio-net-pci") == []
    assert unused(version, "ICH9-LPC") == []  # as libvirt sets it


def test_a_name_that_is_no_device_is_told():
    assert unused("11.1", "nosuch") == ["global nosuch.x has invalid class name"]
