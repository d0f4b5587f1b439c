"""What a real QEMU shows of one device of each type, plugged into a machine that is idle.

QEMU: hw/pci/pci-qmp-cmds.c, system/qdev-monitor.c (qdev_print), hw/virtio/virtio-qmp.c

A place is "pc" (on pci.0), "q35" (on pcie.0, or on what bus the type needs) or "port" (of a
q35, behind a pcie-root-port). For each place and type there are

    refused  why there is no such device where only an ID is given
    needs    the properties that name what it needs, where it is refused without
    pci      its PciDeviceInfo
    qtree    its lines of `info qtree`
    name     what is behind a virtio proxy
    queues   the sizes of its virtqueues
    virtio   its VirtioStatus; QEMU 11.1 does not survive that question

as far as it has them. The device's ID is plugged_lines.ID.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi import objects
from qemu_sim.qapi.emulator import Emulator, EmulatorGone
from qemu_sim.qapi.plugged_lines import ID

PATH = f"/machine/peripheral/{ID}"
PLACES = {"pc": "pc", "q35": "q35", "port": "q35"}  # and the machine type of each
_START = ("-S", "-nodefaults", "-display", "none", "-accel", "tcg")
_MACHINE = ("-m", "128,slots=2,maxmem=1G", "-machine")
_PORT = ("-device", "pcie-root-port,id=root-port,chassis=1")
# What a device may need, by the name of its property.
_BACKENDS = {
    "audiodev": ("audio", "-audiodev", "none,id=audio"),
    "chassis_nr": ("1",),
    "chardev": ("char", "-chardev", "null,id=char"),
    "cryptodev": ("crypto", "-object", "cryptodev-backend-builtin,id=crypto"),
    "drive": ("drive", "-blockdev", "null-co,node-name=drive,read-zeroes=on"),
    "memdev": ("memory", "-object", "memory-backend-ram,id=memory,size=1M"),
    "serial": ("serial",),
}
# What makes a bus that no machine has by itself.
_ADAPTERS = {
    "HDA": ("intel-hda",),
    "SCSI": ("virtio-scsi-pci",),
    "ccid-bus": ("qemu-xhci", "usb-ccid"),
    "nvme-bus": ("nvme,serial=nvme",),
    "ufs-bus": ("ufs",),
    "usb-bus": ("qemu-xhci",),
    "virtio-serial-bus": ("virtio-serial-pci",),
    "IndustryPack": ("tpci200",),
    "sd-bus": ("sdhci-pci",),
}
_NO_BUS = re.compile(r"No '([\w-]+)' bus found for device")
_WHERE = re.compile(rf"-device [^ ]*{ID}[^ ]*: (?!info|warning)(.*)")
_IDS = re.compile(r"pci id (\w+):(\w+) \(sub (\w+):(\w+)\)")
_BAR = re.compile(r"^ *bar (\d):", re.MULTILINE)

Facts = dict[str, dict[str, dict[str, Any]]]
Types = dict[str, dict[str, Any]]


def plugged(argv: Sequence[str], listed: Sequence[dict[str, Any]]) -> tuple[Facts, objects.Tree]:
    """Return the facts, {place: {type: …}}, and the objects, by "PLACE TYPE" and what follows."""
    facts: Facts = {place: {} for place in PLACES}
    trees: objects.Tree = {}
    types = {each["name"]: each for each in listed}
    wanted = [(name, place) for name in types for place in _places(types, name)]
    with ThreadPoolExecutor(os.cpu_count()) as several:  # each starts up to three QEMUs
        recorded = several.map(lambda each: _record(argv, *each), wanted)
        for (name, place), (found, below) in zip(wanted, recorded, strict=True):
            if place == "port" and "qtree" in found:
                found["pci"] = _behind_port(facts["q35"][name]["pci"], found["qtree"])
            if found:
                facts[place][name] = found
            trees |= {f"{place} {name}{path[len(PATH) :]}": below[path] for path in below}
    return facts, trees


def _record(argv: Sequence[str], name: str, place: str) -> tuple[dict[str, Any], objects.Tree]:
    """Return the facts of one type at one place, and its objects by path."""
    found: dict[str, Any] = {}
    below: objects.Tree = {}
    with suppress(EmulatorGone), _with_device(argv, place, name, found) as emulator:
        below = objects.walk(emulator, PATH)
        _ask(emulator, name, found)
    return found, below


def _places(types: Types, name: str) -> Sequence[str]:
    """Where a type may be plugged; nowhere if it is no device, or part of the machine."""
    line, parent = {name}, types[name].get("parent")
    while parent in types:
        line.add(parent)
        parent = types[parent].get("parent")
    if "device" not in line or types[name].get("abstract") or line & {"sys-bus-device", "cpu"}:
        return ()
    return tuple(PLACES) if "pci-device" in line else ("q35",)


def _with_device(argv: Sequence[str], place: str, name: str, found: dict[str, Any]) -> Emulator:
    """Start a machine with the device. Raises EmulatorGone where there can be no such device."""
    start = [*argv, *_START, *_MACHINE, PLACES[place], *(_PORT if place == "port" else ())]
    device = f"{name},id={ID}" + (",bus=root-port" if place == "port" else "")
    try:
        return Emulator([*start, "-device", device])
    except EmulatorGone as error:
        missing = _NO_BUS.search(str(error))
        refused = str(error)
    for adapter in _ADAPTERS.get(missing[1], ()) if missing else ():
        start += ["-device", adapter]
    try:
        return Emulator([*start, "-device", device])
    except EmulatorGone as error:
        refused = str(error)
    text = _WHERE.search(refused)
    if text is not None:
        found["refused"] = text[1]
    return _with_backends(start, device, name, found)


def _with_backends(start: Sequence[str], device: str, name: str, found: dict[str, Any]) -> Emulator:
    """Start a machine with the device and all that the type's properties may name."""
    with Emulator(start) as emulator:
        try:
            listed = emulator.execute("device-list-properties", typename=name)
        except QMPError as error:
            raise EmulatorGone(str(error)) from None
    given = [each["name"] for each in listed if each["name"] in _BACKENDS]
    options = [option for each in given for option in _BACKENDS[each][1:]]
    named = "".join(f",{each}={_BACKENDS[each][0]}" for each in given)
    emulator = Emulator([*start, *options, "-device", device + named])
    found["needs"] = given
    return emulator


def _ask(emulator: Emulator, name: str, found: dict[str, Any]) -> None:
    for bus in emulator.execute("query-pci"):
        for each in _devices(bus["devices"]):
            if each["qdev_id"] == ID:
                found["pci"] = each
    found["qtree"] = _qtree(emulator, name)
    found |= _queues(emulator)
    with suppress(QMPError):  # last, as some QEMUs do not survive it
        found["virtio"] = emulator.execute("x-query-virtio-status", path=f"{PATH}/virtio-backend")


def _queues(emulator: Emulator) -> dict[str, Any]:
    """Return what is known of the virtqueues of a virtio device, if it is one behind a proxy."""
    queues: list[dict[str, Any]] = []
    with suppress(QMPError):  # no such queue
        while True:
            queues.append(
                emulator.execute(
                    "x-query-virtio-queue-status", path=f"{PATH}/virtio-backend", queue=len(queues)
                )
            )
    if not queues:
        return {}
    return {"name": queues[0]["name"], "queues": [each["vring-num"] for each in queues]}


def _behind_port(pci: dict[str, Any], qtree: Sequence[str]) -> dict[str, Any]:
    """Return the PciDeviceInfo on pcie.0 as it is where there are other IDs, and fewer BARs.

    What is behind a bridge is not listed before firmware has numbered the buses.
    """
    text = "\n".join(qtree)
    ids, bars = _IDS.search(text), {int(number) for number in _BAR.findall(text)}
    assert ids is not None, text
    id = dict(zip(("vendor", "device", "subsystem-vendor", "subsystem"), ids.groups(), strict=True))
    return pci | {
        "id": {name: int(id[name], 16) for name in pci["id"]},
        "regions": [each for each in pci["regions"] if each["bar"] in bars],
    }


def _devices(listed: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in listed:
        yield each
        yield from _devices(each.get("pci_bridge", {}).get("devices", ()))


def _qtree(emulator: Emulator, name: str) -> list[str]:
    """Return what `info qtree` prints of the device, without its indentation."""
    printed = emulator.execute_with("human-monitor-command", {"command-line": "info qtree"})
    head, found, rest = printed.partition(f'dev: {name}, id "{ID}"')
    if not found:  # on no bus
        return []
    depth = len(head) - len(head.rstrip(" "))
    lines = [found]
    for line in rest.splitlines()[1:]:
        if not line.startswith(" " * (depth + 1)):
            break
        lines.append(line[depth:])
    return lines
