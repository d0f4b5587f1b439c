"""Which accelerator a machine says it has: the first candidate that this host could use.

QEMU: system/vl.c (configure_accelerators), accel/kvm/kvm-all.c (kvm_init)

No guest code runs here, so the choice shows only in what a client is told. KVM is chosen
where QEMU could open it, so that the same fallback happens on the same host.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import Given, StartError
from qemu_sim.qapi.profile import Profile

DEFAULT = "tcg"
_KVM = "/dev/kvm"
# As "falling back to" spells them; the others of QEMU cannot be simulated honestly.
_SPOKEN = {"tcg": "tcg", "kvm": "KVM", "qtest": "QTest"}
_TCG_THREADS = ("single", "multi")

Say = Callable[[str], None]


def choose(profile: Profile, names: str | None, given: Sequence[Given], say: Say) -> str:
    """Return the accelerator; complaints about those that do not work go to `say`.

    `names` is `-machine accel=` ("kvm:tcg"), `given` is each -accel. Raises StartError.
    """
    failed = False
    for candidate in _candidates(names, given):
        name = candidate.values["accel"]
        prefix = f"{candidate.source}: " if candidate.source else ""
        complaints = list(_complaints(profile, candidate))
        for complaint in complaints:
            say(f"{prefix}{complaint}")
        if not complaints:
            if failed:
                say(f"falling back to {_SPOKEN[name]}")
            return str(name)
        failed = True
    raise StartError


def _candidates(names: str | None, given: Sequence[Given]) -> Sequence[Given]:
    if given:
        return given
    return [Given("", {"accel": name}) for name in (names or DEFAULT).split(":")]


def _complaints(profile: Profile, candidate: Given) -> Iterator[str]:
    """Why the candidate cannot be used. Raises StartError where no other may follow it."""
    name = candidate.values.get("accel", "")
    if not profile.has_accelerator(name):
        yield f"invalid accelerator {name}"
        return
    if name not in _SPOKEN:
        raise StartError(f"accelerator '{name}' is not simulated by qemu-sim")
    with candidate.blame():
        properties = _properties(profile, candidate.values)
    if name == "kvm":
        yield from _kvm_complaints(properties.get("device", _KVM))


def _properties(profile: Profile, values: dict[str, Any]) -> dict[str, Any]:
    given = {key: text for key, text in values.items() if key != "accel"}
    if not given:
        return {}
    from qemu_sim.qapi import object_properties  # noqa: PLC0415 - few give any

    owner = f"{values['accel']}-accel"
    listed = profile.qom_properties.get(owner) or []
    found = {
        key: object_properties.read(object_properties.find(owner, listed, key), text)
        for key, text in given.items()
    }
    thread = found.get("thread", _TCG_THREADS[0])
    if thread not in _TCG_THREADS:
        raise QMPError(f"Invalid 'thread' setting {thread}")
    return found


def _kvm_complaints(path: str) -> Iterator[str]:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        yield f"Could not access KVM kernel module: {error.strerror}"
        yield f"failed to initialize kvm: {error.strerror}"
