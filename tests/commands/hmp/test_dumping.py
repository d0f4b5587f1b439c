"""What a person sees of RAM: its values, and how much of it there is."""

import pytest


@pytest.fixture
def human(make_machine, tmp_path):
    """RAM as a file, so that the test can write to it."""
    path = tmp_path / "ram"
    path.write_bytes(bytes(range(65, 97)) + b"\xff" * 8 + bytes((1 << 20) - 40))
    backend = f"memory-backend-file,id=ram,size=1M,mem-path={path},share=on"
    argv = ["-machine", "pc,memory-backend=ram", "-m", "1M", "-object", backend, "-S"]
    machine = make_machine(*argv)
    return lambda line: machine.execute("human-monitor-command", command_line=line)


def test_values(human):
    assert human("xp /2xw 0") == "00000000: 0x44434241 0x48474645\r\n"
    assert human("xp /3cb 30") == "0000001e: '_' '`' '\\xff'\r\n"
    assert human("xp /1dg 32") == "00000020:                   -1\r\n"
    assert human("xp /1ug 32") == "00000020: 18446744073709551615\r\n"
    assert human("x /1xh 1") == "0000000000000001: 0x4342\r\n"


def test_the_checksum_is_that_of_the_program_sum(human):
    # printf ABCDEFGHIJKLMNOP | sum
    assert human("sum 0 16") == "00031\r\n"


def test_nobody_waits_for_minutes(human):
    for line in ("sum 0 2000000", "xp /2000000xb 0"):
        assert "not simulated by qemu-sim" in human(line)
    assert human("xp /1i 0") == "Error: not simulated by qemu-sim: instructions\r\n"


def test_the_balloon(make_machine):
    machine = make_machine("-machine", "pc", "-m", "64M", "-device", "virtio-balloon-pci")
    printed = machine.execute("human-monitor-command", command_line="info balloon")
    assert printed == "balloon: actual=64\r\n"
