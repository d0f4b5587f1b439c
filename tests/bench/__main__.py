"""`make bench`: figures beside a real QEMU's, measured in the same run.

Each file in rows/ measures one thing: `measure(directory, qemus)` returns its rows; it may
use the directory, and raises RuntimeError for what cannot be measured here. Times are of
this machine in this hour; what can be compared is the ratios.
"""

from __future__ import annotations

import argparse
import compileall
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module

from figures import Row, table

import qemu_sim
from qemu_sim.testing import netns


def main() -> None:
    names = _names()
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help=", ".join(names))
    parser.add_argument("--qemu", metavar="PATH", help="one more QEMU to stand beside")
    options = parser.parse_args()
    if unknown := set(options.names).difference(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    # Installed programs come compiled; a tree to work in may be told not to keep it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(os.path.dirname(qemu_sim.__file__), quiet=1)
    if netns.why_not() is None:
        netns.become_root()
    qemus = _qemus(shutil.which("qemu-system-x86_64"), options.qemu)
    rows = []
    for name in options.names or names:
        sys.stderr.write(f"{name} ...\n")
        rows += _measured(name, qemus)
    sys.stdout.write(f"{table(rows)}\n")


def _names():
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rows")
    return sorted(name[:-3] for name in os.listdir(directory) if name.endswith(".py"))


def _measured(name, qemus):
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        try:
            return import_module(f"rows.{name}").measure(directory, qemus)
        except RuntimeError as error:
            return [Row(name, f"not measured: {error}")]


def _qemus(*paths):
    """Name each QEMU by its version."""
    found = {}
    for path in filter(None, paths):
        said = subprocess.run([path, "-version"], capture_output=True, text=True, check=True).stdout
        version = re.search(r"version ([\d.]+)", said)
        found[f"QEMU {version[1]}"] = [os.path.abspath(path)]
    return found


main()
