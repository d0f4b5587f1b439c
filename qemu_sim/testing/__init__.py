"""What the pytest plugin gives to tests: machines, in this process or as daemons.

A machine here always runs on another event loop than the test's: in-process machines
share one background thread per test, daemons have a process each. So a test may block,
from plain functions and coroutines alike, without ever keeping a machine from answering.
The thread belongs to one test: what is left on it is that test's leak, and a machine that
hangs takes no other test with it.
"""

from qemu_sim.testing.client import Event, MachineEnded, QMPError
from qemu_sim.testing.launch import StartFailed
from qemu_sim.testing.machine import SimMachine
from qemu_sim.testing.traps import NotHeld

__all__ = ["Event", "MachineEnded", "NotHeld", "QMPError", "SimMachine", "StartFailed"]
