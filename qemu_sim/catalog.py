"""Find a class by its QMP name: the file name is the QMP name.

`find("qemu_sim.backends", "netdev", "tap")` loads qemu_sim/backends/netdev_tap.py and
returns the class in it whose TYPE is "tap". There is no table to edit.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from typing import Any

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def find(package: str, prefix: str, name: str) -> Any | None:
    """Return the class of QMP name `name`, or None when there is none."""
    if not _NAME.fullmatch(name):
        return None
    module_name = f"{package}.{_file_name(prefix, name)}"
    if importlib.util.find_spec(module_name) is None:
        return None
    for value in vars(importlib.import_module(module_name)).values():
        if getattr(value, "TYPE", None) == name and value.__module__ == module_name:
            return value
    return None


def names(package: str, prefix: str) -> list[str]:
    """Return the QMP names `find` knows for this prefix, sorted."""
    import pkgutil  # noqa: PLC0415 - `find` does without it

    path = importlib.import_module(package).__path__
    stems = (module.name for module in pkgutil.iter_modules(path))
    found = (
        stem.removeprefix(_file_name(prefix, "")).replace("_", "-")
        for stem in stems
        if stem.startswith(_file_name(prefix, ""))
    )
    return sorted(name for name in found if find(package, prefix, name) is not None)


def _file_name(prefix: str, name: str) -> str:
    stem = name.replace("-", "_")
    return f"{prefix}_{stem}" if prefix else stem
