import shlex

import pytest

from qemu_sim.argv import table
from qemu_sim.argv.parse import READERS, parse
from qemu_sim.argv.report import Report
from qemu_sim.machine.configuration import Configuration, MonitorSpec, StartError

LIBVIRT_PROBE = (
    "-S -no-user-config -nodefaults -nographic -machine none,accel=kvm:tcg "
    "-qmp unix:/run/qmp.monitor,server=on,wait=off -pidfile /run/qmp.pid -daemonize"
)
LIBVIRT_DOMAIN = (
    "-name guest=vm1,debug-threads=on -S -machine pc-q35-11.1,usb=off,memory-backend=pc.ram "
    "-accel tcg -cpu qemu64 -m size=524288k -overcommit mem-lock=off -smp 2,sockets=2,cores=1 "
    '-object {"qom-type":"memory-backend-memfd","id":"pc.ram","size":536870912} '
    "-uuid 11111111-2222-3333-4444-55555555AAAA -no-user-config -nodefaults "
    "-chardev socket,id=charmonitor,path=/run/mon,server=on,wait=off "
    "-mon chardev=charmonitor,id=monitor,mode=control -rtc base=utc,driftfix=slew "
    "-global ICH9-LPC.disable_s3=1 -no-shutdown -boot strict=on "
    '-netdev {"type":"tap","fds":"30:31","id":"hostnet0"} '
    '-device {"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0"} '
    '-audiodev {"id":"audio1","driver":"none"} -incoming defer -display none -vga none '
    "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny "
    "-msg timestamp=on -iscsi initiator-name=iqn.2008-11.org.linux-kvm:vm1 "
    "-serial chardev:later -chardev null,id=later"
)


def _parse(line):
    return parse(_split(line), Report("qemu"))


def _split(line):
    return [word.replace("\0", '"') for word in shlex.split(line.replace('"', "\0"))]


def test_every_option_that_the_table_promises_is_read():
    assert set(READERS) == set(table.SIMULATED) | set(table.HARMLESS)
    assert not set(READERS) & set(table.UNSIMULATED)


def test_nothing_asked_for():
    empty, found = Configuration(), _parse("")

    assert [getattr(found, name) for name in found.__slots__] == [
        getattr(empty, name) for name in empty.__slots__
    ]


def test_what_libvirt_probes_with():
    found = _parse(LIBVIRT_PROBE)

    assert found.machine == {"type": "none", "accel": "kvm:tcg"}
    assert (found.start_paused, found.nodefaults, found.daemonize) == (True, True, True)
    assert found.pidfile == "/run/qmp.pid"
    [monitor] = found.monitors
    assert (monitor.chardev, monitor.mode, monitor.pretty) == ("compat_monitor0", "control", False)
    assert found.chardevs[0].values == {
        "id": "compat_monitor0",
        "backend": {
            "type": "socket",
            "data": {
                "addr": {"type": "unix", "data": {"path": "/run/qmp.monitor"}},
                "server": True,
                "wait": False,
            },
        },
    }


def test_what_libvirt_starts_a_domain_with(capsys):
    report = Report("qemu")
    found = parse(_split(LIBVIRT_DOMAIN), report)

    assert found.name == "vm1"
    assert found.uuid == "11111111-2222-3333-4444-55555555aaaa"
    assert found.machine["smp"] == {"cpus": "2", "sockets": "2", "cores": "1"}
    assert found.machine["memory-backend"] == "pc.ram"
    assert found.memory == {"size": 512 << 20}
    assert found.accelerators[0].values == {"accel": "tcg"}
    assert found.objects[0].typed
    assert found.objects[0].values["size"] == 536870912
    assert found.netdevs[0].values == {"type": "tap", "fds": "30:31", "id": "hostnet0"}
    assert found.devices[0].source.startswith('-device {"driver":"virtio-net-pci"')
    assert found.globals[0].values == {
        "driver": "ICH9-LPC",
        "property": "disable_s3",
        "value": "1",
    }
    assert found.monitors == [
        MonitorSpec(
            "-mon chardev=charmonitor,id=monitor,mode=control",
            "charmonitor",
            "control",
            id="monitor",
        )
    ]
    assert found.actions == {"shutdown": "pause"}
    assert found.incoming.values == {"defer": True}
    assert report.timestamps
    assert capsys.readouterr().err.count("warning") == 1  # -mon is deprecated


@pytest.mark.parametrize(
    "text",
    [
        "monitor-qmp,id=m,chardev=c0,pretty=on",
        '{"qom-type":"monitor-qmp","id":"m","chardev":"c0","pretty":true}',
    ],
)
def test_a_monitor_may_be_an_object(text):
    found = parse(["-chardev", "null,id=c0", "-object", text], Report("qemu"))

    assert found.monitors == [MonitorSpec(f"-object {text}", "c0", "control", pretty=True, id="m")]
    assert found.objects == []


def test_two_dashes_are_as_good_as_one():
    found = _parse("--name a --machine q35 --m 1G")

    assert (found.name, found.machine, found.memory) == ("a", {"type": "q35"}, {"size": 1 << 30})


def test_repeated_options_add_up():
    found = _parse("-name a -name process=p -m 1G,slots=2 -m maxmem=2G -M pc -M q35,acpi=off")

    assert (found.name, found.process_name) == ("a", "p")
    assert found.memory == {"size": 1 << 30, "slots": 2, "maxmem": 2 << 30}
    assert found.machine == {"type": "q35", "acpi": "off"}


@pytest.mark.parametrize(
    ("text", "values", "typed"),
    [
        ("defer", {"defer": True}, False),
        ("tcp:[::]:49152", {"uri": "tcp:[::]:49152"}, False),
        ("unix:/a,b", {"uri": "unix:/a,b"}, False),
        (
            "main,addr.transport=file,addr.filename=/a",
            {
                "channel": {
                    "channel-type": "main",
                    "addr": {"transport": "file", "filename": "/a"},
                }
            },
            False,
        ),
        (
            '{"channel-type":"main","addr":{"transport":"exec","args":["a"]}}',
            {"channel": {"channel-type": "main", "addr": {"transport": "exec", "args": ["a"]}}},
            True,
        ),
    ],
)
def test_incoming(text, values, typed):
    found = parse(["-incoming", text], Report("qemu")).incoming

    assert (found.values, found.typed) == (values, typed)


def test_a_cpr_channel_stands_beside_the_main_one():
    found = _parse(
        "-incoming defer -incoming cpr,addr.transport=socket,addr.type=unix,addr.path=/c"
    )

    assert found.incoming.values == {"defer": True}
    assert found.incoming_cpr.values["channel"]["channel-type"] == "cpr"


def test_serial_ports_are_counted_wherever_they_lead():
    found = _parse("-serial none -serial file:/a -serial null -serial file:/b")

    assert found.serials == [None, "serial1", "serial2", "serial3"]
    made = [(each.values["id"], each.values["backend"]["type"]) for each in found.chardevs]
    assert made == [("serial1", "file"), ("serial2", "null"), ("serial3", "file")]


def test_a_port_may_lead_to_what_is_there_or_share_it_with_a_monitor():
    found = _parse("-chardev pty,id=c -serial chardev:c -parallel null -serial mon:stdio")

    assert (found.serials, found.parallels) == (["c", "serial1"], ["parallel0"])
    assert [each.values["id"] for each in found.chardevs] == [
        *("c", "parallel0", "serial1-base", "serial1"),
    ]
    assert [(each.chardev, each.mode) for each in found.monitors] == [("serial1", "readline")]


@pytest.mark.parametrize(
    ("line", "errors"),
    [
        ("-serial xx", ("'xx' is not a valid char driver", "serial")),
        ("-serial tcp:x", ("", "serial")),
        ("-parallel mon:xx", ("'xx' is not a valid char driver", "parallel")),
        ("-serial chardev:q", ("", "serial")),
    ],
)
def test_a_port_that_leads_nowhere(line, errors):
    reason, kind = errors
    with pytest.raises(StartError) as caught:
        _parse(line)
    last = f"could not connect {kind} device to character backend '{line.split()[1]}'"
    assert caught.value.args == tuple(f"{line}: {text}" for text in (reason, last) if text)


def test_a_nic_brings_its_netdev():
    found = _parse(
        "-device b -nic user,model=virtio,mac=52:54:00:00:00:07 -netdev user,id=n "
        "-net nic,netdev=n,model=virtio-net-pci -nic none -net none -nic hubport,hubid=1,"
        "id=h,model=virtio"
    )
    assert [each.values for each in found.netdevs] == [
        {"type": "user", "id": "#net000"},
        {"type": "user", "id": "n"},
        {"type": "hubport", "hubid": "1", "id": "h"},
    ]
    assert [each.values for each in found.devices] == [
        {"driver": "virtio-net-pci", "netdev": "#net000", "mac": "52:54:00:00:00:07"},
        {"driver": "virtio-net-pci", "netdev": "n"},
        {"driver": "virtio-net-pci", "netdev": "h"},
        {"driver": "b"},
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("-nic user,model=virtio,netdev=x", "Invalid parameter 'netdev'"),
        ("-nic user,model=virtio,mac=xx", "invalid syntax for ethernet address"),
        ("-net nic,netdev=n,model=virtio,name=x", "Invalid parameter 'name'"),
        ("-nic user", "not simulated by qemu-sim"),
        ("-nic user,model=e1000", "not simulated by qemu-sim"),
        ("-net nic,model=virtio", "not simulated by qemu-sim"),
    ],
)
def test_nics_that_cannot_be(line, error):
    with pytest.raises(StartError) as caught:
        _parse(line)
    assert caught.value.args == (f"{line}: {error}",)


def test_too_many_parallel_ports():
    with pytest.raises(StartError, match="-parallel null: too many parallel ports"):
        _parse("-parallel null " * 4)


def test_our_own_settings_are_collected():
    found = _parse("-sim profile=7.2,hold=offer -sim hold=commit,wire-log=/a,,b,hold=x")

    assert found.sim == {"profile": "7.2", "hold": ["offer", "commit", "x"], "wire-log": "/a,b"}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("-sd a", "-sd a: not simulated by qemu-sim"),
        ("-sd b", "-sd b: not simulated by qemu-sim"),
        ("-display gtk", "-display gtk: not simulated by qemu-sim"),
        ("-vga std", "-vga std: not simulated by qemu-sim"),
        ("-net nic", "-net nic: not simulated by qemu-sim"),
        ("-run-with chroot=/a", "-run-with chroot=/a: 'chroot': not simulated by qemu-sim"),
        ("a.img", "a.img: a disk image without -device is not simulated by qemu-sim"),
        ("-sim foo", "-sim foo: Expected '=' after parameter 'foo'"),
        ("-no-acpi", "-no-acpi: invalid option"),
    ],
)
def test_what_is_not_simulated_ends_the_start(line, error):
    with pytest.raises(StartError) as caught:
        _parse(line)
    assert caught.value.args == (error,)


def test_an_older_profile_knows_older_options():
    assert _parse("-no-acpi -no-hpet -sim profile=7.2").sim == {"profile": "7.2"}


def test_messages_may_carry_time_and_name(capsys):
    report = Report("/usr/bin/qemu")
    parse(_split("-msg timestamp=on,guest-name=on -name vm"), report)
    report.say("text")

    stamp, rest = capsys.readouterr().err.split(" ", 1)
    assert rest == "vm qemu: text\n"
    assert len(stamp) == len("2026-01-01T00:00:00.000000Z")
