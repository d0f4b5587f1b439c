"""Every option: its form, what -help says of it, and whether it does anything here.

QEMU: qemu-options.hx

    SIMULATED    has its effect
    HARMLESS     is checked and has no effect, for the reason given
    UNSIMULATED  QEMU knows it; here it ends the start

`OLD` names the options that QEMU dropped before 9.0; they exist with an older profile only.
"""

from __future__ import annotations

# The form of its argument, None for a switch, and what -help says. Plain tuples are
# constants, which cost nothing to load.
Option = tuple[str | None, str]


_NO_FIRMWARE = "the guest here runs no code"
_NO_SCREEN = "the guest here has no screen"
_NO_SOUND = "the guest here makes no sound"

SIMULATED: dict[str, Option] = {
    "h": (None, "print this text and exit"),
    "help": (None, "print this text and exit"),
    "version": (None, "print the version and exit"),
    "machine": ("[type=]name[,prop=value[,...]]", "machine type and its properties"),
    "M": ("[type=]name[,prop=value[,...]]", "as -machine"),
    "cpu": ("model[,feature=value[,...]]", "CPU model"),
    "accel": ("[accel=]accelerator[,prop=value[,...]]", "accelerator to report"),
    "enable-kvm": (None, "report KVM as the accelerator"),
    "smp": ("[cpus=]n[,maxcpus=n][,sockets=n][,dies=n][,cores=n][,threads=n]", "number of CPUs"),
    "m": ("[size=]megs[,slots=n,maxmem=size]", "size of guest RAM"),
    "numa": ("node|dist|cpu|hmat-lb|hmat-cache[,prop=value[,...]]", "NUMA nodes"),
    "name": ("[guest=]name[,process=name][,debug-threads=on|off]", "name of the guest"),
    "uuid": ("uuid", "UUID of the machine"),
    "global": ("driver.property=value", "default of a device property"),
    "S": (None, "do not start the guest"),
    "preconfig": (None, "wait for x-exit-preconfig before the machine is initialized"),
    "chardev": (
        "backend,id=id[,prop=value[,...]]",
        "chardev, such as socket, pty or file",
    ),
    "netdev": ("type,id=id[,prop=value[,...]]", "network backend"),
    "nic": ("[type=]none|netdev,model=virtio[,mac=mac][,prop=value...]", "netdev and NIC"),
    "net": ("none|nic,netdev=id,model=virtio[,macaddr=mac]", "NIC on a netdev"),
    "object": ("type,id=id[,prop=value[,...]]", "user-creatable object"),
    "device": ("driver[,id=id][,prop=value[,...]]", "device"),
    "blockdev": ("[driver=]driver,node-name=id[,prop=value[,...]]", "block node"),
    "drive": (
        "if=none,id=id[,file=file][,format=format][,prop=value[,...]]",
        "drive for a -device",
    ),
    "add-fd": ("fd=fd,set=set[,opaque=opaque]", "put an inherited descriptor in an fd set"),
    "qmp": ("dev", "QMP monitor, such as unix:PATH,server=on,wait=off"),
    "qmp-pretty": ("dev", "as -qmp, with indented output"),
    "mon": ("[chardev=]id[,mode=readline|control][,pretty=on|off]", "monitor on a chardev"),
    "monitor": ("dev", "monitor for a person"),
    "loadvm": ("tag", "begin with a snapshot in the images"),
    "incoming": ("defer|uri|channel", "wait for a migration"),
    "pidfile": ("file", "write the process ID to a file and lock it"),
    "daemonize": (None, "go to the background when everything listens"),
    "readconfig": ("file", "read options from a file: groups under headings"),
    "msg": ("[timestamp=on|off][,guest-name=on|off]", "what messages begin with"),
    "run-with": ("[exit-with-parent=on|off][,async-teardown=on|off]", "life of the process"),
    "action": ("event=action[,...]", "what follows reboot, shutdown, panic or watchdog"),
    "watchdog-action": ("action", "as -action watchdog="),
    "no-reboot": (None, "as -action reboot=shutdown"),
    "no-shutdown": (None, "as -action shutdown=pause"),
    "serial": ("dev", "what a serial port leads to, such as pty or file:PATH"),
    "parallel": ("dev", "what a parallel port leads to, which nobody here uses"),
    "vnc": ("host:display|unix:path[,password=on][,...]", "show VNC clients a black screen"),
    "qtest": ("dev", "test program, such as unix:PATH, that plays the guest's CPU"),
    "qtest-log": ("file", "where to note what the test program says; none for nowhere"),
    "compat": ("[deprecated-input=accept|reject][,unstable-input=...]", "refuse such input"),
    "sim": ("key=value[,...]", "settings of qemu-sim itself; see schemas/extension.json"),
}

HARMLESS: dict[str, Option] = {
    "nodefaults": (None, "there are no default devices here in any case"),
    "no-user-config": (None, "no file is read unless -readconfig names it"),
    "nographic": (None, _NO_SCREEN),
    "display": ("none", _NO_SCREEN),
    "vga": ("none", _NO_SCREEN),
    "audiodev": ("none,id=id", _NO_SOUND),
    "audio": ("none", _NO_SOUND),
    "boot": ("[order=drives][,once=drives][,menu=on|off][,strict=on|off]", _NO_FIRMWARE),
    "rtc": ("[base=utc|localtime|date][,clock=name][,driftfix=name]", _NO_FIRMWARE),
    "bios": ("file", _NO_FIRMWARE),
    "kernel": ("file", _NO_FIRMWARE),
    "initrd": ("file", _NO_FIRMWARE),
    "append": ("text", _NO_FIRMWARE),
    "smbios": ("text", _NO_FIRMWARE),
    "seed": ("number", _NO_FIRMWARE),
    "L": ("path", "no firmware is loaded"),
    "k": ("language", "the guest here has no keyboard"),
    "overcommit": ("[mem-lock=on|off|on-fault][,cpu-pm=on|off]", "a hint to the host"),
    "sandbox": ("on[,class=allow|deny]", "it restricts QEMU, which does not run here"),
    "D": ("file", "without -d, which is not simulated, it stays empty"),
    "iscsi": ("[initiator-name=name][,...]", "defaults of a block driver that is not simulated"),
    "no-acpi": (None, _NO_FIRMWARE),
    "no-hpet": (None, _NO_FIRMWARE),
}

OLD = ("no-acpi", "no-hpet")

UNSIMULATED = {
    **dict.fromkeys(
        (
            *("full-screen", "snapshot", "win2k-hack", "no-fd-bootchk", "usb", "mem-prealloc"),
            *("xen-attach", "xen-domid-restrict", "only-migratable", "s"),
            *("semihosting", "enable-sync-profile", "perfmap", "jitdump"),
        ),
        False,
    ),
    **dict.fromkeys(
        (
            *("set", "mem-path", "fda", "fdb", "hda", "hdb", "hdc", "hdd", "cdrom"),
            *("mtdblock", "sd", "fsdev", "virtfs", "usbdevice", "spice"),
            *("acpitable", "tpmdev", "pflash", "shim", "dtb", "fw_cfg", "debugcon"),
            *("gdb", "d", "dfilter", "xen-domid", "option-rom", "icount", "echr"),
            *("trace", "plugin", "dump-vmstate", "prom-env", "semihosting-config"),
            "g",
        ),
        True,
    ),
}


def takes_argument(name: str) -> bool | None:
    """Whether the option `name` has an argument; None if QEMU does not know it."""
    option = SIMULATED.get(name) or HARMLESS.get(name)
    if option is not None:
        return option[0] is not None
    return UNSIMULATED.get(name)
