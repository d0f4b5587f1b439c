"""Whatever the command line says, the machine starts, or says why not."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qemu_sim.argv.parse import parse
from qemu_sim.argv.reading import Asked
from qemu_sim.argv.report import Report
from qemu_sim.front import Front
from qemu_sim.host import Host
from qemu_sim.machine.configuration import StartError

LIMIT = 5.0  # seconds to start, unless it waits for a client as it was told to
# An option, and arguments that it takes.
OPTIONS = """
-M q35 none pc,accel=tcg type=q35,memory-backend=m0 pc-q35-7.2 q35,smp.cpus=2 {"type":"q35"}
-m 64 1G size=64M,slots=2,maxmem=1G 0 -1 64k
-smp 1 4,sockets=2 cpus=2,maxcpus=4 0 2,cores=3
-name x guest=x,debug-threads=on a,b=c process=
-uuid 00000000-0000-0000-0000-000000000001 1
-object memory-backend-memfd,id=m0,size=1M memory-backend-ram,id=m0,size=64M iothread,id=i {}
-object {"qom-type":"memory-backend-ram","id":"m1","size":1048576} {"qom-type":1} x,id=
-chardev null,id=c0 socket,id=c1,path=p,server=on,wait=off file,id=c2,path=f socket,id=c3,host=x
-netdev user,id=n0 tap,id=n1,fd=99 vhost-user,id=n0,chardev=c0 hubport,id=h,hubid=0 {"type":"tap"}
-device virtio-net-pci,netdev=n0,id=d pcie-root-port,id=p,chassis=1 virtio-blk-pci,drive=b0 x
-device {"driver":"virtio-net-pci","mac":1} virtio-net-pci,addr=99.9 virtio-net-pci,mac=1:2
-blockdev driver=null-co,node-name=b0 {"driver":"raw","file":"b0","node-name":"b1"} driver=x
-drive if=none,id=b,file=f if=ide,file=f,format=raw id=x
-mon chardev=c1,mode=control chardev=c0 mode=readline
-qmp unix:q,server=on,wait=off none tcp:127.0.0.1:0,server=on,wait=off unix: fd:99
-incoming defer unix:m tcp:127.0.0.1:0 nope {"channel-type":"main"}
-sim profile=7.2 extensions=off hold=stopped fault=refuse guest-ipv4=10.0.0.2 x=y phase-timeout=-1
-accel kvm:tcg tcg,thread=multi x
-cpu qemu64,apic-id=0 max,+x host
-global virtio-net-pci.mq=on x.y=1 driver=x
-action reboot=shutdown panic=x
-compat deprecated-input=reject unstable-input=x
-add-fd fd=99,set=1 set=1
-msg timestamp=on guest-name=x
-boot order=c,menu=on x=y
-rtc base=utc base=2020-01-01 x
-S
-nodefaults
-nope
-preconfig
"""
CHOICES = [line.split() for line in OPTIONS.strip().splitlines()]
TEXTS = st.text("ab-=,:.{}[]'\"09 é\n\x7f", max_size=9)


def with_argument(choice):
    option, *arguments = choice
    return st.sampled_from(arguments or [""]).flatmap(
        lambda right: st.sampled_from([[option, right]] if right else [[option]])
    ) | TEXTS.map(lambda text: [option, text])


WORDS = st.lists(
    st.sampled_from(CHOICES).flatmap(with_argument) | TEXTS.map(lambda t: [t]), max_size=7
)
ARGUMENTS = WORDS.map(lambda words: [word for group in words for word in group])


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


async def start(arguments):
    host = Host(Front(parse(arguments, Report("qemu-sim")), lambda _text: None))
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT):
                await host.start()
    finally:
        await host.close()
    assert not host.machine.bugs


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=ARGUMENTS)
@example(arguments=["-accel", ""])
@example(arguments=["-incoming", "tcp:127.0.0.1:0"])
def test_any_command_line(arguments):
    try:
        asyncio.run(start(arguments))
    except StartError as error:
        complaint = error.args
    except Asked:
        return
    else:
        return
    assert all(isinstance(text, str) and text for text in complaint)
