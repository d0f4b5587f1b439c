"""NICs with what is behind them in one option: -nic, and the form of -net that names a netdev.

QEMU: net/net.c (net_param_nic, net_init_nic)

Only virtio-net-pci is simulated, and no NIC is there unless its model is said. The hub that
-net puts between a NIC and a netdev that do not name each other is not simulated.
"""

from __future__ import annotations

import re
from typing import Any

from qemu_sim.argv.reading import Reader, Reading, blame, not_simulated
from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import Given
from qemu_sim.qapi.opts import Group, as_text

_NIC = Group("nic", implied="type")
_NET = Group(
    "net",
    implied="type",
    kinds=dict.fromkeys(("type", "netdev", "macaddr", "model", "addr", "vectors"), as_text),
)
_NOBODY = "none"
_DEVICE = "virtio-net-pci"
_MODELS = ("virtio", _DEVICE)
_MAC = r"[0-9A-Fa-f]{1,2}(?:([:-])[0-9A-Fa-f]{1,2})(?:\1[0-9A-Fa-f]{1,2}){4}"


def _nic(reading: Reading, source: str, text: str) -> None:
    """Read -nic: make a netdev, and a NIC on it."""
    if text == _NOBODY:
        return
    with blame(source):
        id, values = reading.opts(_NIC, source, text)
        model, mac = values.pop("model", None), values.pop("mac", None)
        for key in ("netdev", "addr", "vectors"):
            if key in values:
                raise QMPError(f"Invalid parameter '{key}'")
        if model not in _MODELS:
            raise not_simulated(source)
        # QEMU's has two digits more, which nobody can foresee.
        id = id or f"#net{reading.unnamed_nics}00"
        reading.unnamed_nics += 1
        nic = _device(id, mac)
    reading.configuration.netdevs.append(Given(source, {**values, "id": id}))
    _plug(reading, Given(source, nic))


def _net(reading: Reading, source: str, text: str) -> None:
    """Read -net: a NIC on a netdev that is named."""
    if text == _NOBODY:
        return
    if not text.startswith("nic,"):
        raise not_simulated(source)
    with blame(source):
        values = reading.opts(_NET, source, text).values
        simulated = {"type", "netdev", "macaddr", "model"}
        if values.get("model") not in _MODELS or not {"netdev"} <= values.keys() <= simulated:
            raise not_simulated(source)
        nic = _device(values["netdev"], values.get("macaddr"))
    _plug(reading, Given(source, nic))


def _device(netdev: str, mac: str | None) -> dict[str, Any]:
    if mac is None:
        return {"driver": _DEVICE, "netdev": netdev}
    if not re.fullmatch(_MAC, mac):
        raise QMPError("invalid syntax for ethernet address")
    return {"driver": _DEVICE, "netdev": netdev, "mac": mac}


def _plug(reading: Reading, nic: Given) -> None:
    """Have the machine plug it in before what -device adds."""
    reading.configuration.devices.insert(reading.plugged_nics, nic)
    reading.plugged_nics += 1


READERS: dict[str, Reader] = {"nic": _nic, "net": _net}
