"""What a command line makes of a machine, with the words of QEMU 11.1.3 and 7.2.22."""

import pytest

from qemu_sim.argv.parse import parse
from qemu_sim.argv.report import Report
from qemu_sim.errors import QMPError
from qemu_sim.machine import accelerator
from qemu_sim.machine.configuration import StartError
from qemu_sim.machine.settings import machine_options


class _Asked:
    """The settings of a command line, or its error, and what was said meanwhile."""

    def __init__(self, *arguments, profile="11.1"):
        self.said = []
        self.options = self.error = None
        configuration = parse(arguments, Report("PROG"))
        try:
            self.options = machine_options(configuration, {"profile": profile}, self.said.append)
        except (QMPError, StartError) as error:
            self.error = str(error)


@pytest.fixture
def no_kvm(monkeypatch, tmp_path):
    monkeypatch.setattr(accelerator, "_KVM", str(tmp_path / "kvm"))


@pytest.fixture
def kvm(monkeypatch):
    monkeypatch.setattr(accelerator, "_KVM", "/dev/null")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("-M q35,foo=bar", "Property 'pc-q35-11.1-machine.foo' not found"),
        ("-M q35,mem-merge=3", "Parameter 'mem-merge' expects 'on' or 'off'"),
        ("-M q35,vmport=3", "Parameter 'vmport' does not accept value '3'"),
        ("-M q35,phandle-start=x", "Parameter 'phandle-start' expects integer"),
        ("-M q35,usb=on", "machine property usb=on is not simulated by qemu-sim"),
        ("-M q35,smp=2", "Invalid parameter type for 'smp', expected: object"),
        ("-M q35,memory.foo=2", "Parameter 'memory.foo' is unexpected"),
        (
            "-M none -smp 2",
            "Invalid SMP CPUs 2. The max CPUs supported by machine 'none' is 1",
        ),
        ("-m 1G,slots=1", "slots specified but no max-size"),
        ("-accel tcg,foo=1", "-accel tcg,foo=1: Property 'tcg-accel.foo' not found"),
        ("-accel tcg,thread=x", "-accel tcg,thread=x: Invalid 'thread' setting x"),
        ("-cpu nope", "unable to find CPU model 'nope'"),
        ("-cpu host", "CPU model 'host' requires KVM or HVF"),
        (
            "-cpu qemu64,foo=on,-bar",
            (
                "can't apply global qemu64-x86_64-cpu.foo=on: "
                "Property 'qemu64-x86_64-cpu.foo' not found"
            ),
        ),
        ("-cpu qemu64,+foo", "Property 'qemu64-x86_64-cpu.foo' not found"),
        (
            "-cpu qemu64,vmx=maybe",
            "can't apply global qemu64-x86_64-cpu.vmx=maybe: Parameter 'vmx' expects 'on' or 'off'",
        ),
    ],
)
def test_is_refused_in_the_words_of_qemu(arguments, error):
    assert _Asked(*arguments.split()).error == error


@pytest.mark.parametrize(
    ("smp", "error"),
    [
        ("2,modules=2", "Parameter 'smp.modules' is unexpected"),
        ("2,clusters=2", "clusters not supported by this machine's CPU topology"),
    ],
)
def test_an_older_qemu_has_fewer_levels(smp, error):
    assert _Asked("-smp", smp, profile="7.2").error == error


def test_what_a_client_sees_of_the_machine():
    machine = "q35,usb=off,vmport=off,max-ram-below-4g=1G,kernel-irqchip=split"
    asked = _Asked(
        "-M", machine, "-smp", "3,maxcpus=4", "-m", "1G,slots=2,maxmem=2G", profile="7.2"
    )

    assert asked.options.properties == {
        "smp": {
            "cpus": 3,
            "maxcpus": 4,
            "sockets": 1,
            "dies": 1,
            "clusters": 1,
            "cores": 4,
            "threads": 1,
        },
        "memory": {"size": 1 << 30, "slots": 2, "max-size": 2 << 30},
        "usb": False,
        "vmport": "off",
        "max-ram-below-4g": 1 << 30,
    }


def test_the_machine_property_is_as_good_as_the_option():
    options = _Asked("-M", "q35,memory.size=1G,smp.cpus=2").options

    assert (options.memory_size, options.topology.cpus) == (1 << 30, 2)


def test_cpu_features_have_types():
    model = _Asked("-cpu", "max,+vmx,-svm,level=0x10,model_id=foo").options.cpu

    assert model.qom_type == "max-x86_64-cpu"
    assert model.properties == {"vmx": True, "svm": False, "level": 16, "model-id": "foo"}


def test_without_kvm_the_next_one_is_taken(no_kvm):
    asked = _Asked("-M", "q35,accel=kvm:foo:tcg")

    assert asked.options.accelerator == "tcg"
    assert asked.said == [
        "Could not access KVM kernel module: No such file or directory",
        "failed to initialize kvm: No such file or directory",
        "invalid accelerator foo",
        "falling back to tcg",
    ]


def test_without_kvm_and_a_next_one_it_does_not_start(no_kvm):
    asked = _Asked("-accel", "kvm")

    assert asked.error == ""
    assert asked.said[1] == ("-accel kvm: failed to initialize kvm: No such file or directory")


def test_with_kvm_the_host_model_exists(kvm):
    asked = _Asked("-accel", "foo", "-accel", "kvm", "-cpu", "host")

    assert asked.options.accelerator == "kvm"
    assert asked.options.cpu.qom_type == "host-x86_64-cpu"
    assert asked.said == ["-accel foo: invalid accelerator foo", "falling back to KVM"]


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_phase_must_be_able_to_end(seconds):
    with pytest.raises(StartError, match="'phase-timeout' expects a time in seconds, more than 0"):
        machine_options(parse((), Report("PROG")), {"phase-timeout": seconds}, print)


@pytest.mark.parametrize(
    ("more", "size"), [("", 150 << 20), ("-m 300", 300 << 20), ("-M memory.size=1G", 1 << 30)]
)
def test_a_memory_backend_says_how_much_ram_there_is_if_nothing_else_does(more, size):
    backend = "-M q35,memory-backend=a -object memory-backend-ram,id=a,size=150M"
    assert _Asked(*backend.split(), *more.split()).options.memory_size == size
