"""Other names by which -device and device_add know types: virtio-net is virtio-net-pci.

QEMU: system/qdev-monitor.c (qdev_alias_table)
"""

from __future__ import annotations

_ALIASES = {
    "ac97": "AC97",
    "ahci": "ich9-ahci",
    "e1000-82540em": "e1000",
    "es1370": "ES1370",
    "lsi": "lsi53c895a",
}
_VIRTIO = frozenset(
    {
        *("9p", "balloon", "blk", "gpu", "gpu-gl", "input-host", "iommu", "keyboard", "mouse"),
        *("net", "rng", "scsi", "serial", "sound", "tablet"),
    }
)


def type_of(name: str) -> str:
    """Return the type that a name means, which is mostly itself."""
    if name.startswith("virtio-") and name.removeprefix("virtio-") in _VIRTIO:
        return f"{name}-pci"
    return _ALIASES.get(name, name)
