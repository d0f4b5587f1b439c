"""/dev/fdset/N: which descriptor of a set a path stands for."""

import os

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.machine.fdsets import FdSets


@pytest.fixture
def sets(tmp_path):
    made = FdSets()
    (tmp_path / "file").write_text("old")
    for flags in (os.O_RDONLY, os.O_WRONLY):
        made.add(Fd(os.open(tmp_path / "file", flags | os.O_CLOEXEC)), 3, None)
    yield made
    made.close()


def test_the_one_for_that_access_is_duplicated(sets, tmp_path):
    with sets.open("/dev/fdset/3", os.O_WRONLY) as fd:
        os.write(fd.fileno(), b"new")
    with sets.open("/dev/fdset/3", os.O_RDONLY) as fd:
        assert os.read(fd.fileno(), 9) == b"new"


def test_it_is_truncated_and_appended_to_as_a_file_would_be(sets, tmp_path):
    with sets.open("/dev/fdset/3", os.O_WRONLY | os.O_TRUNC | os.O_APPEND):
        assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize(
    ("path", "flags", "reason"),
    [
        ("/dev/fdset/4", os.O_RDONLY, "No such file or directory"),
        ("/dev/fdset/3", os.O_RDWR, "Permission denied"),
        ("/dev/fdset/x", os.O_RDONLY, "Invalid argument"),
        ("/no/where", os.O_RDONLY, "No such file or directory"),
    ],
)
def test_what_cannot_be_opened(sets, path, flags, reason):
    with pytest.raises(QMPError, match=f"^Could not open '{path}': {reason}$"):
        sets.open(path, flags)
