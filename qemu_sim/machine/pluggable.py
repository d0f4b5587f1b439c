"""Which types of devices can be added, and on what kind of bus: what their class says in QEMU.

QEMU: system/qdev-monitor.c (qdev_get_device_class, qdev_device_add_from_qdict)

No command tells a type's bus, so this goes by what it descends from. It was tried with every
type of QEMU 11.1 and 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError
from qemu_sim.qapi.device_properties import check_driver

if TYPE_CHECKING:
    from qemu_sim.qapi.profile import Profile

_BUSES = {
    "pci-device": "PCI",
    "usb-device": "usb-bus",
    "isa-device": "ISA",
    "scsi-device": "SCSI",
    "virtio-device": "virtio-bus",
    "ide-device": "IDE",
    "virtio-serial-port": "virtio-serial-bus",
    "hda-codec": "HDA",
    "i2c-slave": "i2c-bus",
    "ccid-card": "ccid-bus",
    "xen-device": "xen-bus",
    "sd-card": "sd-bus",
    "sdmmc-common": "sd-bus",
    "nvme-ns": "nvme-bus",
    "floppy": "floppy-bus",
    "ipack-device": "IndustryPack",
    "vmbus-dev": "vmbus",
    "nitro-vsock-device": "nitro-vsock-bus",
    "ufs-lu": "ufs-bus",
}
_SYSTEM = "sys-bus-device"
# Of those on the system bus, the few that some machine lets a user add.
_DYNAMIC = frozenset({"xen-backend", "uefi-vars-x64", "uefi-vars-sysbus", "vmbus-bridge", "ramfb"})
_IOMMUS = frozenset({"amd-iommu", "intel-iommu"})  # of machines since
# Only ever part of something else.
_PARTS = frozenset(
    {
        *("kvm-pit", "isa-pcspk", "isa-pit", "kvm-i8259", "vmport", "i8257", "port92"),
        *("isa-i8259", "serial", "migration", "esp", "kvm-apic", "sgx-epc", "apic"),
        *("base-xhci", "hyperv-synic", "cpu-cluster", "ICH9-SMB", "mch", "gpex-root"),
        *("PIIX4_PM", "igbvf", "i440FX", "PIIX3", "PIIX3-xen", "ICH9-LPC", "piix4-isa"),
        "smbus-eeprom",
    }
)
_STAYS = frozenset(
    {
        *("acpi-erst", "cxl-rp", "virtio-gpu-pci", "vmware-svga", "piix3-ide", "piix4-ide"),
        *("ipmi-bmc-extern", "ipmi-bmc-sim", "vfio-pci-nohotplug", "vfio-pci-igd-lpc-bridge"),
        *("pxb", "pxb-pcie", "pxb-cxl", "vhost-user-vga", "vhost-user-gpu-pci", "ati-vga"),
        *("cirrus-vga", "VGA", "pci-ohci", "virtio-iommu-pci", "vmcoreinfo", "vmgenid", "ramfb"),
        *("sp-mem", "virtio-vga", "vmclock", "virtio-gpu-gl-pci", "virtio-vga-gl", "qxl-vga"),
        *(f"ich9-usb-uhci{number}" for number in range(1, 7)),
        *("ich9-usb-ehci1", "ich9-usb-ehci2", *_IOMMUS),
    }
)
_STAYED = _STAYS - {"ramfb"} | {"nvme-subsys", "vhost-user-gpu", "virtio-gpu-device"}  # in 7.2
# Chips of a machine that nobody plugs.
_CHIPS = frozenset({"PIIX3", "PIIX4_PM", "i440FX", "pci-piix", "piix4-isa", "sgx-epc"})
# No machine has a place for them once it has started.
_COLD = frozenset({"tpm-crb", "guest-loader", "hv-syndbg", "loader", "nvme-subsys"})
_NEWER = (8, 0, 0)  # newer than 7.2: other words, and IOMMUs that a user adds


def check(profile: Profile, kind: str, *, hotplug: bool, has_machine: bool) -> None:
    """Raise QMPError in QEMU's words unless a device of that type can be added.

    `has_machine`: whether the machine type is another than "none".
    """
    check_driver(profile, kind)
    is_newer = profile.version >= _NEWER
    on_system = _SYSTEM in profile.lineage(kind)
    dynamic = _DYNAMIC | (_IOMMUS if is_newer else frozenset())
    stays = hotplug and not is_newer and kind in _STAYED
    if kind in _PARTS or (on_system and kind not in dynamic) or stays:
        raise QMPError("Parameter 'driver' expects a pluggable device type")
    if on_system and not has_machine:
        raise QMPError("Parameter 'driver' expects a dynamic sysbus device type for the machine")


def bus_of(profile: Profile, kind: str) -> str | None:
    """Return the type of bus that a device goes on; None if it stands alone."""
    found = (_BUSES[each] for each in profile.lineage(kind) if each in _BUSES)
    return next(found, None)


def check_bare(kind: str, *, has_machine: bool) -> None:
    """Raise QMPError in QEMU's words unless a device that is on no bus may come later."""
    check_moves(kind)
    if not has_machine or kind in _COLD:
        raise QMPError(f"Device '{kind}' can not be hotplugged on this machine")


def stays(profile: Profile, kind: str) -> bool:
    """Whether devices of that type are there from the start or never."""
    is_newer = profile.version >= _NEWER
    return kind in _CHIPS or kind in (_STAYS if is_newer else _STAYED)


def check_moves(kind: str) -> None:
    """Raise QMPError in QEMU's words if devices of that type are there from the start."""
    if kind in _STAYS:
        raise QMPError(f"Device '{kind}' does not support hotplugging")
