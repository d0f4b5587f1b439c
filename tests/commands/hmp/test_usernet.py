"""The ports that a user network forwards, as QEMU's test_info_usernet looks for them.

QEMU: tests/functional/generic/test_info_usernet.py, python/qemu/utils/__init__.py
"""

import re


def test_forwarded_ports_are_listed(make_machine):
    rules = "hostfwd=:127.0.0.1:0-:22,hostfwd=tcp::0-10.0.2.20:80"
    machine = make_machine(*("-netdev", f"user,id=vnet,{rules}", "-netdev", "user,id=other"))
    printed = machine.execute("human-monitor-command", command_line="info usernet")
    title = "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ"
    first, second, third, fourth, *rest = printed.split("\r\n")
    assert (first, second) == ("Hub -1 (vnet):", title)
    row = r"  TCP\[HOST_FORWARD\] {1,3}\d+ +(\S+) +\d+ +(\S+) +(\d+)     0     0"
    assert re.fullmatch(row, third).groups() == ("127.0.0.1", "10.0.2.15", "22")
    assert re.fullmatch(row, fourth).groups() == ("*", "10.0.2.20", "80")
    assert rest == ["Hub -1 (other):", title, ""]
    assert len({len(third), len(fourth)}) == 1
