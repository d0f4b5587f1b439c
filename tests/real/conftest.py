"""What the real QEMU of these tests can do."""

from __future__ import annotations

import os
import shutil

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi.emulator import Emulator


@pytest.fixture
def knows_cpr_transfer():
    """Skip the test where the QEMU lacks the mode."""
    program = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
    qemu = Emulator([program, "-nodefaults", "-display", "none", "-machine", "none"])
    try:
        qemu.execute("migrate-set-parameters", mode="cpr-transfer")
    except QMPError as error:
        pytest.skip(f"this QEMU has no mode cpr-transfer: {error}")
    finally:
        qemu.close()
