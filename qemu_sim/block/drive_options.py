"""-drive in its own spelling, made into a BlockdevOptions.

QEMU: blockdev.c (drive_new, blockdev_init)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qemu_sim.block import nbd_address
from qemu_sim.block.probing import probe
from qemu_sim.errors import QMPError
from qemu_sim.qapi.opts import parse_bool
from qemu_sim.qapi.sizes import parse_size

_INTERFACES = ("none", "ide", "scsi", "floppy", "pflash", "mtd", "sd", "virtio", "xen")
_CACHES: dict[str, dict[str, bool]] = {
    "none": {"direct": True},
    "off": {"direct": True},
    "writeback": {},
    "unsafe": {"no-flush": True},
}
_NO_WRITE_BACK = ("directsync", "writethrough")
_DISCARDS = {"unmap": "unmap", "on": "unmap", "ignore": "ignore", "off": "ignore"}
_MEDIA = ("disk", "cdrom")
_FILE_DRIVERS = ("raw", "qcow2")
_NULL_DRIVERS = ("null-co", "null-aio")
_NULL_FILES = {f"{driver}://": driver for driver in _NULL_DRIVERS}
_READ = frozenset(
    {
        *("if", "file", "file.driver", "file.filename", "file.locking", "driver", "format"),
        *("cache", "readonly", "read-only", "discard", "detect-zeroes", "aio", "media"),
        *("node-name", "size", "read-zeroes"),
    }
)
# QEMU knows them; here they would have no effect.
_NOT_SIMULATED = frozenset(
    {
        *("index", "bus", "unit", "snapshot", "werror", "rerror", "copy-on-read", "addr"),
        *("auto-read-only", "force-share"),
    }
)


def read(values: Mapping[str, str]) -> dict[str, Any] | None:
    """Read the keys of a -drive but for its ID; None for an empty drive.

    Raises QMPError in QEMU's words.
    """
    _check_kind(values)
    common = _common(values)
    driver = values.get("driver", values.get("format"))
    if driver in _NULL_DRIVERS:
        return {"driver": driver, **_null(values), **common}
    if driver is not None and driver not in _FILE_DRIVERS:
        raise QMPError(f"Unknown driver '{driver}'")
    path = values.get("file", values.get("file.filename"))
    if path is None:
        if driver is not None:
            raise QMPError('A block device must be specified for "file"')
        return None
    if path in _NULL_FILES:
        driver = driver or "raw"
        return {"driver": driver, "file": _null_file(values, path, driver), **common}
    if driver is None:
        driver = probe(path)
    _check_keys(values, driver)
    return {"driver": driver, "file": _file(values, path), **common}


def _check_kind(values: Mapping[str, str]) -> None:
    interface = values.get("if", "ide")
    if interface not in _INTERFACES:
        raise QMPError(f"unsupported bus type '{interface}'")
    if values.get("media", "disk") not in _MEDIA:
        raise QMPError(f"'{values['media']}' invalid media")
    if interface != "none":
        raise QMPError(f"a drive with if={interface} is not simulated by qemu-sim")
    if values.get("file.driver", "file") != "file":
        raise QMPError(f"file.driver={values['file.driver']} is not simulated by qemu-sim")


def _check_keys(values: Mapping[str, str], driver: str) -> None:
    for key in values:
        if key in _NOT_SIMULATED or key.startswith("throttling."):
            raise QMPError(f"a drive with '{key}' is not simulated by qemu-sim")
        if key not in _READ:
            raise QMPError(f"Block format '{driver}' does not support the option '{key}'")


def _common(values: Mapping[str, str]) -> dict[str, Any]:
    """Return what every driver takes."""
    found: dict[str, Any] = {}
    for key in ("readonly", "read-only"):
        if key in values:
            found["read-only"] = parse_bool("read-only", values[key])
    if values.get("media") == "cdrom":
        found["read-only"] = True
    if "cache" in values:
        found["cache"] = _cache(values["cache"])
    if "discard" in values:
        if values["discard"] not in _DISCARDS:
            raise QMPError("Invalid discard option")
        found["discard"] = _DISCARDS[values["discard"]]
    for key in ("detect-zeroes", "node-name"):
        if key in values:
            found[key] = values[key]
    return found


def _cache(text: str) -> dict[str, bool]:
    if text in _NO_WRITE_BACK:
        raise QMPError(f"a drive with cache={text} is not simulated by qemu-sim")
    if text not in _CACHES:
        raise QMPError("invalid cache option")
    return _CACHES[text]


def _null(values: Mapping[str, str]) -> dict[str, Any]:
    _check_keys(values, values.get("driver", values.get("format", "")))
    found: dict[str, Any] = {}
    if "size" in values:
        found["size"] = parse_size("size", values["size"])
    if "read-zeroes" in values:
        parse_bool("read-zeroes", values["read-zeroes"])
        found["read-zeroes"] = values["read-zeroes"]  # a file name shows what was written
    return found


def _null_file(values: Mapping[str, str], path: str, driver: str) -> dict[str, Any]:
    """Return the options of a node with nothing in it, as `file.size` and such describe it."""
    own = {key.removeprefix("file."): values[key] for key in values if key.startswith("file.")}
    _check_keys({key: values[key] for key in values if not key.startswith("file.")}, driver)
    protocol = _NULL_FILES[path]
    for key in own:
        if key not in ("size", "read-zeroes"):
            raise QMPError(f"Block protocol '{protocol}' doesn't support the option '{key}'")
    return {"driver": protocol, **_null({"driver": protocol, **own})}


def _file(values: Mapping[str, str], path: str) -> dict[str, Any]:
    if nbd_address.is_nbd(path):
        return nbd_address.options(path)
    found = {"driver": "file", "filename": path}
    if "file.locking" in values:
        found["locking"] = values["file.locking"]
    return {**found, "aio": values["aio"]} if "aio" in values else found
