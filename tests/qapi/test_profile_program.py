"""`qemu-sim profile`, and the import of a record in libvirt's form."""

import json
import re

import pytest

from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.profile_program import main

ASKED = (
    *("query-target", "qom-list-types", "query-machines", "query-cpu-definitions"),
    *("query-command-line-options", "query-migrate-capabilities"),
)


def _renumbered(value):
    """The schema of a QEMU whose types happen to have other numbers."""
    text = re.sub(
        r'"(\[?)(\d+)(\]?)"', lambda m: f'"{m[1]}{int(m[2]) + 7000}{m[3]}"', json.dumps(value)
    )
    return json.loads(text)


@pytest.fixture
def replies(tmp_path):
    """A file as libvirt writes it, of 7.2 under another version."""
    recorded = profiles.load("7.2")
    talk = [
        ({"execute": "qmp_capabilities"}, {}),
        (
            {"execute": "query-version"},
            {"qemu": {"major": 7, "minor": 1, "micro": 5}, "package": "p"},
        ),
        ({"execute": "query-qmp-schema"}, _renumbered(recorded.section("query-qmp-schema"))),
        *(({"execute": name}, recorded.section(name)) for name in ASKED),
        (
            {"execute": "device-list-properties", "arguments": {"typename": "edu"}},
            [{"name": "only-here", "type": "bool"}],
        ),
    ]
    blocks = []
    for number, (request, answer) in enumerate(talk):
        blocks += [{**request, "id": number}, {"return": answer, "id": number}]
    blocks += [{"execute": "query-nothing"}, {"error": {"class": "CommandNotFound", "desc": "no"}}]
    path = tmp_path / "caps.replies"
    path.write_text("\n\n".join(json.dumps(block, indent=2) for block in blocks))
    return path


def test_an_import_says_what_it_took_from_elsewhere(replies, tmp_path, capsys):
    assert main(["import", "-o", str(tmp_path / "new"), str(replies)]) == 0

    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("QEMU 7.1.5 x86_64 p")
    assert "taken from QEMU 7.2" in second
    assert "query-migrate-parameters" in second
    assert "query-machines" not in second


def test_an_imported_profile_checks_as_the_recorded_one_does(replies, tmp_path):
    main(["import", "-o", str(tmp_path / "new"), str(replies)])
    found, recorded = profiles.load(str(tmp_path / "new")), profiles.load("7.2")

    memory = {"qom-type": "memory-backend-ram", "id": "a", "size": "1M"}
    assert found.schema.check_keyval("object-add", memory)["size"] == 1 << 20
    assert len(found.section("member-types")["integers"]) == len(
        recorded.section("member-types")["integers"]
    )
    assert found.device_properties.get("edu") == [{"name": "only-here", "type": "bool"}]
    assert found.device_properties.get("virtio-net-pci") is not None
    assert "device" in found.lineage("virtio-net-pci")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "there is no reply to query-version"),
        ("{", "Expecting property name"),
        ('{"execute": "query-version"}\n\n{"error": {}}', "there is no reply to query-version"),
    ],
)
def test_a_file_that_is_no_such_record(text, error, tmp_path, capsys):
    (tmp_path / "bad").write_text(text)

    assert main(["import", "-o", str(tmp_path / "new"), str(tmp_path / "bad")]) == 1

    assert capsys.readouterr().err.startswith(f"qemu-sim profile: {error}")
    assert not (tmp_path / "new").exists()


def test_list_show_and_diff(capsys):
    assert main(["list"]) == main(["show", "7.2"]) == main(["diff", "7.2", "11.1"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("11.1\tQEMU 11.1.3 x86_64")
    assert "commands     216" in lines
    assert "commands: 3 only in 7.2, 29 in 11.1" in lines
    assert "+ blockdev-set-active" in lines


def test_a_profile_nobody_has(capsys):
    assert main(["show", "1.2"]) == 1
    assert "Could not load profile" in capsys.readouterr().err


def test_a_program_that_is_no_qemu(tmp_path, capsys):
    assert main(["record", "-o", str(tmp_path / "new"), "--", "/bin/true"]) == 1
    assert "/bin/true gave no answer" in capsys.readouterr().err
