"""The qtest protocol. The answers are those of QEMU 11.1.3, recorded with -machine q35."""

import types

import pytest

from qemu_sim.qtest.script import Script
from qemu_sim.virtio.memory import GuestMemory

MIB = 1 << 20


@pytest.fixture
def memory():
    ram = GuestMemory(4 * MIB, shared=False)
    yield ram
    ram.close()


@pytest.fixture
def script(memory):
    guest = types.SimpleNamespace(memory=memory, has_device=lambda path: path == "ioapic")
    return Script(guest, clocked=True)


RECORDED = """
endianness => OK little
readb 0x100000 => OK 0x0000000000000000
writeb 0x100000 0x1ff => OK
readb 0x100000 => OK 0x00000000000000ff
readw 1048576 => OK 0x00000000000000ff
writeq 0x100000 0x1122334455667788 => OK
readq 0x100000 => OK 0x1122334455667788
readl 0x100002 => OK 0x0000000033445566
readl 0x0fffffff000 => OK 0x0000000000000000
read 0x100000 8 => OK 0x8877665544332211
write 0x100000 4 0xdeadbeef => OK
write 0x100000 4 0xdead => OK
read 0x100000 8 => OK 0xdead000044332211
memset 0x100000 8 0x55 => OK
memset 0x100000 0 0x55 => OK
read 0x100000 4 => OK 0x55555555
b64read 0x100000 4 => OK VVVVVQ==
b64write 0x100000 4 3q2+7w== => OK
read 0x100000 4 => OK 0xdeadbeef
inb 0x80 => OK 0x00ff
inw 0x80 => OK 0xffff
inl 0x80 => OK 0xffffffff
outb 0x80 0x1 => OK
outl 0x80 1 => OK
clock_step 100 => OK 100
clock_step 0 => FAIL could not advance time
clock_set 50 => FAIL 100
clock_step -1 => FAIL could not advance time
clock_set 5000 => OK 5000
clock_step => FAIL cannot advance clock to the next deadline because there is no pending deadline
irq_intercept_in nope => FAIL Unknown device
irq_intercept_in ioapic => OK
irq_intercept_in ioapic => OK
nope x => FAIL Unknown command 'nope'
  readb 0x100000 => FAIL Unknown command ''
readb 0x10 0x10 => OK 0x0000000000000000
readw 010 => OK 0x0000000000000000
"""


def test_answers_are_the_recorded_ones(script):
    for line in RECORDED.strip("\n").split("\n"):
        command, _, answer = line.partition(" => ")
        assert (command, script.answer(command)) == (command, answer)


@pytest.mark.parametrize(
    "line",
    [
        "readb",
        "readb zz",
        "readb 08",
        "readb 99999999999999999999",
        "writeb 5",
        "read 0 99999999999",
        "write 0x100000 4 zzzz",
        "write 0x100000 4 0xzz",
        "b64write 0x100000 4 !!!!",
        "outb 5",
        "inb",
        "clock_set",
        "irq_intercept_in",
    ],
)
def test_what_would_abort_qemu_fails(script, line):
    assert script.answer(line).startswith("FAIL ")


def test_ram_is_the_machines(script, memory):
    script.answer("write 0x2000 3 0x010203")
    assert memory.read(0x2000, 3) == b"\1\2\3"


def test_a_range_may_end_outside_ram(script, memory):
    script.answer(f"memset {memory.size - 2} 4 7")
    assert script.answer(f"read {memory.size - 2} 4") == "OK 0x07070000"


def test_the_clock_needs_its_accelerator(memory):
    script = Script(types.SimpleNamespace(memory=memory), clocked=False)
    assert script.answer("clock_step 5") == "FAIL Unknown command 'clock_step'"
