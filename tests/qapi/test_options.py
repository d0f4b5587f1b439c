"""Options of the command line against what QEMU 7.2 and 11.1 print about the same texts."""

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi.keyval import parse_keyval
from qemu_sim.qapi.opts import split

COMMANDS = {"-netdev": ("netdev_add", "type"), "-object": ("object-add", "qom-type")}


def check(schema, option, text):
    command, implied = COMMANDS[option]
    if text.startswith("stream"):
        return schema.check_keyval(command, parse_keyval(text, implied))
    return schema.check_keyval(command, {pair.key: pair.value for pair in split(text, implied)})


def complaint(schema, option, text):
    try:
        check(schema, option, text)
    except QMPError as error:
        return str(error)
    return None


def test_complains_as_qemu_does(version, profile, read_recorded):
    different = [
        (case["text"], case[version], mine)
        for case in read_recorded("qapi-options.jsonl")
        if (mine := complaint(profile.schema, case["option"], case["text"])) != case[version]
    ]
    assert different == []


def test_reads_each_value_by_its_type(profile):
    text = "tap,id=n0,queues=0x4,vnet_hdr=off,sndbuf=1M,ifname=tap0"
    assert check(profile.schema, "-netdev", text) == {
        "type": "tap",
        "id": "n0",
        "queues": 4,
        "vnet_hdr": False,
        "sndbuf": 1 << 20,
        "ifname": "tap0",
    }


def test_reads_dotted_keys_into_objects(profile):
    text = "stream,id=n0,server=on,addr.type=inet,addr.host=h,addr.port=1,addr.to=0x10"
    address = {"type": "inet", "host": "h", "port": "1", "to": 16}
    expected = {"type": "stream", "id": "n0", "server": True, "addr": address}
    assert check(profile.schema, "-netdev", text) == expected


def test_a_repeated_option_is_a_list(profile):
    given = {"type": "user", "id": "n0", "dnssearch": ["a", "b"]}
    checked = profile.schema.check_keyval("netdev_add", given)
    assert checked["dnssearch"] == [{"str": "a"}, {"str": "b"}]


def test_integers_in_lists_may_be_ranges(profile):
    given = {"qom-type": "memory-backend-ram", "id": "m", "size": "4k", "host-nodes": ["0-2", "7"]}
    assert profile.schema.check_keyval("object-add", given)["host-nodes"] == [0, 1, 2, 7]


def test_a_range_ascends(profile):
    given = {"qom-type": "memory-backend-ram", "id": "m", "size": "4k", "host-nodes": "5-2"}
    with pytest.raises(QMPError, match="expects a uint64 value or range"):
        profile.schema.check_keyval("object-add", given)
