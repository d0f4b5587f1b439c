"""Every option: its form, what -help says of it, and whether it does anything here.

QEMU: qemu-options.hx

    SIMULATED    has its effect
    HARMLESS     is checked and has no effect, for the reason given
    UNSIMULATED  QEMU knows it; here it ends the start

`OLD` names the options that QEMU dropped before 9.0; they exist with an older profile only.
"""

from __future__ import annotations

from typing import NamedTuple


class Option(NamedTuple):
    """One line of -help. `argument` is None for a switch."""

    argument: str | None
    help: str


_NO_FIRMWARE = "the guest here runs no code"
_NO_SCREEN = "the guest here has no screen"
_NO_SOUND = "the guest here makes no sound"

SIMULATED = {
    "h": Option(None, "print this text and exit"),
    "help": Option(None, "print this text and exit"),
    "version": Option(None, "print the version and exit"),
    "machine": Option("[type=]name[,prop=value[,...]]", "machine type and its properties"),
    "M": Option("[type=]name[,prop=value[,...]]", "as -machine"),
    "cpu": Option("model[,feature=value[,...]]", "CPU model"),
    "accel": Option("[accel=]accelerator[,prop=value[,...]]", "accelerator to report"),
    "enable-kvm": Option(None, "report KVM as the accelerator"),
    "smp": Option(
        "[cpus=]n[,maxcpus=n][,sockets=n][,dies=n][,cores=n][,threads=n]", "number of CPUs"
    ),
    "m": Option("[size=]megs[,slots=n,maxmem=size]", "size of guest RAM"),
    "name": Option("[guest=]name[,process=name][,debug-threads=on|off]", "name of the guest"),
    "uuid": Option("uuid", "UUID of the machine"),
    "global": Option("driver.property=value", "default of a device property"),
    "S": Option(None, "do not start the guest"),
    "chardev": Option("backend,id=id[,prop=value[,...]]", "chardev: null, file, stdio, socket"),
    "netdev": Option("type,id=id[,prop=value[,...]]", "network backend"),
    "object": Option("type,id=id[,prop=value[,...]]", "user-creatable object"),
    "device": Option("driver[,id=id][,prop=value[,...]]", "device"),
    "blockdev": Option("[driver=]driver,node-name=id[,prop=value[,...]]", "block node"),
    "add-fd": Option("fd=fd,set=set[,opaque=opaque]", "put an inherited descriptor in an fd set"),
    "qmp": Option("dev", "QMP monitor, such as unix:PATH,server=on,wait=off"),
    "qmp-pretty": Option("dev", "as -qmp, with indented output"),
    "mon": Option("[chardev=]id[,mode=readline|control][,pretty=on|off]", "monitor on a chardev"),
    "monitor": Option("dev", "monitor for a person"),
    "incoming": Option("defer|uri|channel", "wait for a migration"),
    "pidfile": Option("file", "write the process ID to a file and lock it"),
    "daemonize": Option(None, "go to the background when everything listens"),
    "msg": Option("[timestamp=on|off][,guest-name=on|off]", "what messages begin with"),
    "run-with": Option("[exit-with-parent=on|off][,async-teardown=on|off]", "life of the process"),
    "action": Option("event=action[,...]", "what follows reboot, shutdown, panic or watchdog"),
    "watchdog-action": Option("action", "as -action watchdog="),
    "no-reboot": Option(None, "as -action reboot=shutdown"),
    "no-shutdown": Option(None, "as -action shutdown=pause"),
    "sim": Option("key=value[,...]", "settings of qemu-sim itself; see schemas/extension.json"),
}

HARMLESS = {
    "nodefaults": Option(None, "there are no default devices here in any case"),
    "no-user-config": Option(None, "no configuration file is read in any case"),
    "nographic": Option(None, _NO_SCREEN),
    "display": Option("none", _NO_SCREEN),
    "vga": Option("none", _NO_SCREEN),
    "vnc": Option("none", _NO_SCREEN),
    "serial": Option("none|null", "nothing is behind the port"),
    "parallel": Option("none|null", "nothing is behind the port"),
    "nic": Option("none", "there are no default NICs here in any case"),
    "net": Option("none", "there are no default NICs here in any case"),
    "audiodev": Option("none,id=id", _NO_SOUND),
    "audio": Option("none", _NO_SOUND),
    "boot": Option("[order=drives][,once=drives][,menu=on|off][,strict=on|off]", _NO_FIRMWARE),
    "rtc": Option("[base=utc|localtime|date][,clock=name][,driftfix=name]", _NO_FIRMWARE),
    "bios": Option("file", _NO_FIRMWARE),
    "kernel": Option("file", _NO_FIRMWARE),
    "initrd": Option("file", _NO_FIRMWARE),
    "append": Option("text", _NO_FIRMWARE),
    "smbios": Option("text", _NO_FIRMWARE),
    "seed": Option("number", _NO_FIRMWARE),
    "L": Option("path", "no firmware is loaded"),
    "k": Option("language", "the guest here has no keyboard"),
    "overcommit": Option("[mem-lock=on|off|on-fault][,cpu-pm=on|off]", "a hint to the host"),
    "sandbox": Option("on[,class=allow|deny]", "it restricts QEMU, which does not run here"),
    "no-acpi": Option(None, _NO_FIRMWARE),
    "no-hpet": Option(None, _NO_FIRMWARE),
}

OLD = ("no-acpi", "no-hpet")

UNSIMULATED = {
    **dict.fromkeys(
        (
            *("full-screen", "snapshot", "win2k-hack", "no-fd-bootchk", "usb", "mem-prealloc"),
            *("xen-attach", "xen-domid-restrict", "only-migratable", "preconfig", "s"),
            *("semihosting", "enable-sync-profile", "perfmap", "jitdump"),
        ),
        False,
    ),
    **dict.fromkeys(
        (
            *("numa", "set", "mem-path", "fda", "fdb", "hda", "hdb", "hdc", "hdd", "cdrom"),
            *("drive", "mtdblock", "sd", "fsdev", "virtfs", "iscsi", "usbdevice", "spice"),
            *("acpitable", "tpmdev", "pflash", "shim", "dtb", "compat", "fw_cfg", "debugcon"),
            *("gdb", "d", "D", "dfilter", "xen-domid", "loadvm", "option-rom", "icount", "echr"),
            *("readconfig", "trace", "plugin", "dump-vmstate", "prom-env", "semihosting-config"),
            *("g", "qtest", "qtest-log"),
        ),
        True,
    ),
}


def takes_argument(name: str) -> bool | None:
    """Whether the option `name` has an argument; None if QEMU does not know it."""
    option = SIMULATED.get(name) or HARMLESS.get(name)
    if option is not None:
        return option.argument is not None
    return UNSIMULATED.get(name)
