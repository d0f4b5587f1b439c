"""New image files, as blockdev-create makes them.

QEMU: block/create.c, block/file-posix.c (raw_co_create), block/qcow2.c (qcow2_co_create)
"""

from __future__ import annotations

import os
from typing import Any

from qemu_sim.block import qcow2_header
from qemu_sim.block.backend import Backend
from qemu_sim.block.graph import Graph
from qemu_sim.block.image_file import resize
from qemu_sim.block.image_lock import ImageLock
from qemu_sim.block.permissions import ALL, RESIZE, WRITE, Claim
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.host_path import host_path

_FILE_OPTIONS = frozenset({"driver", "filename", "size", "nocow"})
_QCOW2_OPTIONS = frozenset(
    {
        *("driver", "file", "size", "version", "backing-file", "backing-fmt"),
        *("cluster-size", "lazy-refcounts"),
    }
)
_DEFAULTS = {"preallocation": "off", "refcount-bits": 16, "extended-l2": False}
_SECTOR = 512
_MAX_SIZE = (1 << 63) - _SECTOR


def check(options: dict[str, Any]) -> None:
    """Raise QMPError if images of that driver are never made, or not in that way."""
    if options["driver"] not in _MAKERS:
        raise QMPError("Driver does not support blockdev-create")
    known = _FILE_OPTIONS if options["driver"] == "file" else _QCOW2_OPTIONS
    if options["size"] > _MAX_SIZE:
        raise QMPError("Image size is too large")
    for key, value in options.items():
        if key not in known and _DEFAULTS.get(key) != value:
            raise QMPError(f"blockdev-create with '{key}' is not simulated by qemu-sim")


async def create(graph: Graph, options: dict[str, Any]) -> None:
    """Make the image. Raises QMPError in QEMU's words."""
    await _MAKERS[options["driver"]](graph, options)


async def _create_file(_graph: Graph, options: dict[str, Any]) -> None:
    path, size = options["filename"], options["size"]
    try:
        fd = Fd(os.open(host_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise QMPError(f"Could not create '{path}': {error.strerror}") from None
    with fd:
        ImageLock(fd, path).reserve(Claim(WRITE | RESIZE, ALL & ~RESIZE))
        try:
            os.ftruncate(fd.fileno(), 0)
            resize(fd.fileno(), size)
        except OSError as error:
            raise QMPError(f"Could not resize file: {error.strerror}") from None


async def _create_qcow2(graph: Graph, options: dict[str, Any]) -> None:
    if options["size"] % _SECTOR:
        raise QMPError("Image size must be a multiple of 512 bytes")
    new = qcow2_header.New(
        size=options["size"],
        version=2 if options.get("version") == "v2" else 3,
        cluster_bits=_cluster_bits(options.get("cluster-size", 1 << 16)),
        lazy_refcounts=options.get("lazy-refcounts", False),
        backing_file=options.get("backing-file"),
        backing_format=options.get("backing-fmt"),
    )
    if new.backing_format is not None and new.backing_file is None:
        raise QMPError("Backing format cannot be used without backing file")
    image = qcow2_header.make(new)
    given = options["file"]
    node = graph.found(given) if isinstance(given, str) else await graph.open(given)
    backend = Backend(graph, Claim(WRITE | RESIZE, ALL))
    try:
        backend.insert(node)
        node.resize(0)
        node.write(0, image)
    finally:
        backend.close()
        graph.drop_unused(node)


def _cluster_bits(size: int) -> int:
    bits = size.bit_length() - 1
    if bits not in qcow2_header.CLUSTER_BITS or size != 1 << bits:
        raise QMPError("Cluster size must be a power of two between 512 and 2048k")
    return bits


_MAKERS = {"file": _create_file, "qcow2": _create_qcow2}
