"""-readconfig: what a file means, and QEMU's words for one that is wrong.

The words are those of QEMU 11.1.3 and 7.2.22; the test at the end asks the one installed.
"""

import os
import re
import shutil
import subprocess

import pytest

from qemu_sim.argv.parse import parse
from qemu_sim.argv.report import Report
from qemu_sim.machine.configuration import StartError

QEMU = shutil.which("qemu-system-x86_64")
FILE = """\
# a comment

[memory]
  size = "64"   and what stands here does not count
[machine]
  type = "q35"
  smp.cpus = "2"
[smp-opts]
  maxcpus = "4"
[name] ignored
  guest = "a,b=c"
  process = "p"
[device "net0"]
  driver = "virtio-net-pci"
  mac = "52:54:00:00:00:01"
[object]
  qom-type = "memory-backend-ram"
  size = "1M"
  id = "ram0"
"""
SIZE = "Parameter 'size' expects a non-negative number below 2^64"
HINT = (
    "\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-"
    "\nand exabytes, respectively."
)
# File, then what 11.1 and 7.2 say before they make anything: of the option, of a line, of nothing.
WRONG = [
    ('a = "b"\n', "no group defined", ":1:"),
    ("[]\n", "no group defined", ":1:"),
    ("  \n", "parse error", ":1:"),
    ("[memory]\nsize=200\n", "Invalid parameter 'size=200'", ":2:"),
    ("\n# c\n[memory]\nsize = 200\n", SIZE + HINT, ":4:"),
    ('[foo]\na = "1"\n[memory]\nsize = "1"\n', "There is no option group 'foo'", ":2:"),
    ('[foo "x"]\n\n\n# x\n', "There is no option group 'foo'", ""),
    ('[memory\nsize = "1"\n', "There is no option group 'memory\n'", ":2:"),
    ('[display]\ntype = "none"\n', "There is no option group 'display'", ":2:"),
    ('[memory]\nfoo = "1"\n[device]\n', "Invalid parameter 'foo'", ":2:"),
    ('[name "id"]\nguest = "x"\n', "Invalid parameter 'id'", ":2:"),
    (
        '[chardev "a"]\nbackend = "null"\n[chardev "a"]\nbackend = "null"\n',
        "Duplicate ID 'a' for chardev",
        ":4:",
    ),
]
# What both versions say of a line, when the time has come to make the thing.
WRONG_LATER = [
    ('[device "x"]\naddr = "1"\n', ":2: Parameter 'driver' is missing"),
    ('[object]\nqom-type = "memory-backend-ram"\n', ":2: Parameter 'id' is missing"),
    ('[object "a"]\n', "Parameter 'qom-type' is missing"),
    ('[netdev]\ntype = "user"\n', ":2: Parameter 'id' is missing"),
    ('[chardev "c"]\nbackend = "foo"\n', ":2: 'foo' is not a valid char driver name"),
    ('[boot-opts]\norder = "z"\n', "Invalid boot device 'z'"),
]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "file.cfg")


def write(path, text):
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def words_of(path, text, version):
    """Return what a start with the file says, without the program's name."""
    write(path, text)
    report = Report("PROG")
    with pytest.raises(StartError) as caught:
        parse(["-sim", f"profile={version}", "-readconfig", path], report)
    return report.line(*caught.value.args).removeprefix("PROG:").replace(path, "FILE")


def test_groups_are_options(path):
    write(path, FILE)
    found = parse(["-name", "before", "-readconfig", path, "-m", "slots=2"], Report("PROG"))

    assert found.memory == {"size": 64 << 20, "slots": 2}
    assert found.machine == {"type": "q35", "smp": {"cpus": "2", "maxcpus": "4"}}
    assert (found.name, found.process_name) == ("a,b=c", "p")
    [device] = found.devices
    assert device.source == f"{path}:15"
    assert device.values == {
        "driver": "virtio-net-pci",
        "mac": "52:54:00:00:00:01",
        "id": "net0",
    }
    assert found.objects[0].values["id"] == "ram0"


@pytest.mark.parametrize(("text", "words", "place"), WRONG)
def test_what_is_wrong_is_said_in_the_words_of_qemu(path, text, words, place):
    assert words_of(path, text, "11.1") == f" -readconfig FILE: {words}\n"
    unhinted = words.removesuffix(HINT)
    older = f"FILE{place} {unhinted}\n" if place else f" {unhinted}\n"
    assert words_of(path, text, "7.2") == older


@pytest.mark.parametrize(("text", "words"), WRONG_LATER)
def test_what_is_wrong_later_is_said_of_a_line(path, text, words):
    expected = f"FILE{words}\n" if words.startswith(":") else f" {words}\n"
    assert [words_of(path, text, version) for version in ("11.1", "7.2")] == [expected] * 2


def test_a_file_that_cannot_be_read(tmp_path):
    for path, words in [
        ("/nonexistent", "Could not open '/nonexistent': No such file or directory"),
        (str(tmp_path), "Cannot read config file: Is a directory"),
    ]:
        with pytest.raises(StartError, match=re.escape(f"-readconfig {path}: {words}")):
            parse(["-readconfig", path], Report("PROG"))


def test_a_group_without_effect_here_says_so(path):
    words = "FILE:2: group 'fw_cfg': not simulated by qemu-sim\n"
    assert words_of(path, '[fw_cfg]\nname = "foo"\n', "11.1") == words


@pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 to compare with")
def test_the_words_are_those_of_the_installed_qemu(path):
    said = subprocess.run([QEMU, "-version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"version (\d+\.\d+)", said)[1]
    if version not in ("7.2", "11.1"):
        pytest.skip(f"no recorded words of QEMU {version}")
    for text in (*(each[0] for each in WRONG), *(each[0] for each in WRONG_LATER)):
        ours = words_of(path, text, version)
        argv = [QEMU, "-display", "none", "-readconfig", path]
        real = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False
        )
        assert real.returncode == 1, text
        name = os.path.basename(QEMU)
        assert real.stderr.removeprefix(f"{name}:").replace(path, "FILE") == ours
