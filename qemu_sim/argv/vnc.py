"""The option -vnc.

QEMU: ui/vnc.c (qemu_vnc_opts, vnc_parse)
"""

from __future__ import annotations

from itertools import chain, count

from qemu_sim.argv.reading import Reader, Reading, blame
from qemu_sim.machine.configuration import Given
from qemu_sim.qapi.opts import Group, as_text, parse_bool, parse_number

_TEXTS = (
    *("vnc", "websocket", "tls-creds", "share", "display", "password-secret", "tls-authz"),
    *("sasl-authz", "audiodev", "power-control"),
)
_NUMBERS = ("head", "connections", "to", "key-delay-ms")
_SWITCHES = (
    "ipv4",
    "ipv6",
    "password",
    "reverse",
    "lock-key-sync",
    "sasl",
    "lossy",
    "non-adaptive",
)
_VNC = Group(
    "vnc",
    implied="vnc",
    kinds={
        **dict.fromkeys(_TEXTS, as_text),
        **dict.fromkeys(_NUMBERS, parse_number),
        **dict.fromkeys(_SWITCHES, parse_bool),
    },
)


def _vnc(reading: Reading, source: str, text: str) -> None:
    with blame(source):
        id, values = reading.opts(_VNC, source, text)
    known = reading.ids.setdefault(_VNC.name, set())
    if id is None:
        names = chain(["default"], (f"vnc{number}" for number in count(2)))
        id = next(name for name in names if name not in known)
        known.add(id)
    if values.get("vnc") != "none":
        reading.configuration.vncs.append(Given(source, {"id": id, **values}))


READERS: dict[str, Reader] = {"vnc": _vnc}
