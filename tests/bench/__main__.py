"""`make bench`: figures beside a real QEMU's, measured in the same run.

Times are of this machine in this hour; what can be compared is the ratios. A figure that
cannot be had here is named with the reason.
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

import hand_overs
import monitors
from figures import Row, table

import qemu_sim
from qemu_sim.testing import netns

BENCHES = {
    "start": monitors.start,
    "rate": monitors.rate,
    "memory": monitors.memory,
    "blackout-tap": hand_overs.blackout_tap,
    "blackout-queues": hand_overs.blackout_queues,
    "blackout-disk": hand_overs.blackout_disk,
    "blackout-fresh": hand_overs.blackout_fresh,
    "migrate": hand_overs.migration,
    "leaks": hand_overs.leaks,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    parser.add_argument("-k", metavar="NAME", choices=BENCHES, help=", ".join(BENCHES))
    parser.add_argument("--qemu", metavar="PATH", help="one more QEMU to stand beside")
    options = parser.parse_args()
    # Installed programs come compiled; a tree to work in may be told not to keep it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(os.path.dirname(qemu_sim.__file__), quiet=1)
    if netns.why_not() is None:
        netns.become_root()
    qemus = _qemus(shutil.which("qemu-system-x86_64"), options.qemu)
    rows = []
    for name in [options.k] if options.k else BENCHES:
        sys.stderr.write(f"{name} ...\n")
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            try:
                rows += BENCHES[name](directory, qemus)
            except RuntimeError as error:
                rows.append(Row(name, f"not measured: {error}"))
    sys.stdout.write(f"{table(rows)}\n")


def _qemus(*paths):
    """Name each QEMU by its version."""
    found = {}
    for path in filter(None, paths):
        said = subprocess.run([path, "-version"], capture_output=True, text=True, check=True).stdout
        version = re.search(r"version ([\d.]+)", said)
        found[f"QEMU {version[1]}"] = [os.path.abspath(path)]
    return found


main()
