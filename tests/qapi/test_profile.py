import subprocess
import sys

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.archive import Archive, write_archive
from qemu_sim.qapi.pool import Pool, pooled


def test_the_newest_is_the_default():
    assert profiles.shipped() == ["11.1", "7.2"]
    assert profiles.load() is profiles.load("11.1")
    assert profiles.load().version == (11, 1, 3)
    assert profiles.load("7.2").version == (7, 2, 22)
    assert profiles.load("7.2").package.startswith("Debian 1:7.2")


def test_the_version_is_known_without_decompressing_or_a_schema():
    program = (
        "import sys; from qemu_sim.qapi import profile; assert profile.load().version;"
        "assert not {'zlib', 'qemu_sim.qapi.schema', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_section_can_be_read(profile):
    assert len(profile.section("query-commands")) == len(list(profile.schema.names("command")))
    assert profile.types["virtio-net-pci"]["parent"] == "virtio-net-pci-base"
    names = {each["name"] for each in profile.device_properties.get("virtio-net-pci")}
    assert {"mac", "netdev", "mq"} <= names
    assert profile.qom_properties.get("virtio-net-pci")
    assert profile.device_properties.get("nope") is None
    assert profile.cpu_expansions["qemu64"]["full"]["model"]["name"] == "qemu64"


def test_sections_are_parsed_anew():
    profile = profiles.load()
    profile.section("query-migrate-parameters").clear()
    assert profile.section("query-migrate-parameters")


def test_machine_types(version, profile):
    assert profile.resolve_machine("q35") == f"pc-q35-{version}"
    assert profile.resolve_machine("pc") == f"pc-i440fx-{version}"
    assert profile.resolve_machine("pc-q35-5.2") == "pc-q35-5.2"
    assert profile.resolve_machine("none") == "none"
    assert {f"pc-q35-{version}", f"pc-i440fx-{version}"} <= profile.newest_machines
    assert "pc-q35-5.2" not in profile.newest_machines


def test_an_unknown_machine_type():
    with pytest.raises(QMPError, match=r'^unsupported machine type: "nope"\nUse -machine help'):
        profiles.load("11.1").resolve_machine("nope")
    with pytest.raises(QMPError, match=r"^unsupported machine type\nUse -machine help"):
        profiles.load("7.2").resolve_machine("nope")


def test_statuses_follow_the_version():
    assert "completed" in profiles.load("7.2").migration_statuses
    assert "postcopy-recover-setup" in profiles.load("11.1").migration_statuses
    assert "postcopy-recover-setup" not in profiles.load("7.2").migration_statuses


def test_what_machine_types_change_is_known_since_qemu_can_tell():
    assert profiles.load("7.2").compat_properties == {}
    changes = profiles.load("11.1").compat_properties["pc-q35-10.2"]
    assert {"qom-type", "property", "value"} == set(changes[0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "is not a QEMU profile"),
        (b"[]\n", "is not a QEMU profile"),
        (b"\xff\n", "is not a QEMU profile"),
        (b'{"format": 9, "sections": {}}\n', "has profile format 9, expected 1"),
    ],
)
def test_a_file_that_is_no_profile_is_refused_by_name(tmp_path, content, reason):
    path = tmp_path / "x.profile"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(QMPError, match=reason) as caught:
        profiles.load(str(path))
    assert str(path) in str(caught.value)


def test_an_archive_gives_back_what_was_written(tmp_path):
    path = str(tmp_path / "a")
    write_archive(path, {"arch": "x"}, {"one": [1, "é"], "two": {}})
    archive = Archive(path)
    assert (archive.head, archive.names()) == ({"arch": "x"}, ["one", "two"])
    assert (archive.read("two"), archive.read("one")) == ({}, [1, "é"])
    with pytest.raises(KeyError):
        archive.read("three")


def test_a_pool_gives_back_what_was_put_in():
    answers = {"a": [{"name": "x"}, {"name": "y"}], "b": [{"name": "y"}], "c": []}
    section = pooled(answers)
    assert len(section["entries"]) == 2
    pool = Pool(section)
    assert {name: pool.get(name) for name in pool} == answers
    assert "b" in pool
    assert pool.get("d") is None


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(QMPError, match=r"profile '9\.9': there are 11\.1, 7\.2; a file's name has"):
        profiles.load("9.9")
