"""Whatever a person types, the human monitor answers with a text."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qemu_sim.argv.parse import parse
from qemu_sim.argv.report import Report
from qemu_sim.commands.hmp import table
from qemu_sim.front import Front
from qemu_sim.host import Host
from qemu_sim.qapi import profile as profiles

ARGV = [
    *("-M", "pc", "-S", "-m", "64M,slots=2,maxmem=1G"),
    *("-object", "memory-backend-ram,id=m0,size=32M", "-chardev", "null,id=c0"),
    *("-drive", "if=none,id=drive0,file=null-co://"),
    *("-device", "virtio-blk-pci,drive=drive0,id=d0", "-device", "virtio-balloon"),
]
# No path leads out of the working directory.
WORDS = st.sampled_from(
    [
        *(
            "c0",
            "d0",
            "drive0",
            "m0",
            "/",
            "/machine",
            "on",
            "off",
            "0",
            "-1",
            "0x10",
            "1M",
            "1+(2",
        ),
        *('"', '"a b"', "'", "$pc", "-f", "-d", "-n", "/4xw", "null,id=c1", "id=x", "if=none,id=z"),
        *("driver=null-co,node-name=q", "virtio-net-pci,id=n1", "memory-backend-ram,id=k,size=1M"),
        *("tcp:127.0.0.1:0", "xbzrle", "max-bandwidth", "active", "vm", "vnc", "all", "type", "{}"),
    ]
) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), max_size=4)
# It ends the machine.
SPARED = {"quit"}
LIMIT = 20.0  # seconds


def lines(version):
    profile = profiles.load(version)
    names = [
        entry.name
        for kind in ("help", "info")
        for entry in table.entries(profile, kind)
        if entry.name not in SPARED
    ]
    name = st.sampled_from(sorted(names)) | WORDS
    return st.lists(
        st.tuples(name, st.lists(WORDS, max_size=4)).map(
            lambda each: " ".join((each[0], *each[1]))
        ),
        min_size=1,
        max_size=5,
    )


async def type_them(version, typed):
    report = Report("qemu-sim")
    host = Host(Front(parse([*ARGV, "-sim", f"profile={version}"], report), lambda _text: None))
    monitor = SimpleNamespace(named_fds={}, take_fd=lambda: None)
    try:
        async with asyncio.timeout(LIMIT):
            await host.start()
            return [await table.run(host.machine, monitor, line) for line in typed]
    finally:
        await host.close()
        assert not host.machine.bugs


@pytest.mark.parametrize("version", ["7.2", "11.1"])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_line(tmp_path, monkeypatch, version, data):
    monkeypatch.chdir(tmp_path)
    typed = data.draw(lines(version))
    printed = asyncio.run(type_them(version, typed))
    assert all(isinstance(text, str) for text in printed)
