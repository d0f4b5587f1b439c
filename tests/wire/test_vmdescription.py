"""The closing description: what it must have, how long sections are, how it is found."""

from __future__ import annotations

import json

import pytest

from qemu_sim.errors import WireError
from qemu_sim.wire import vmdescription, vmstream
from qemu_sim.wire.vmdescription import Devices, Search

FIELD = {"name": "a", "type": "uint32", "size": 4}
SUBSECTION = {"vmsd_name": "d/s", "version": 1, "fields": [FIELD]}


def device(*fields, **more):
    return {
        "name": "d",
        "instance_id": 0,
        "vmsd_name": "d",
        "version": 2,
        "fields": list(fields),
    } | more


def parse(*devices, **more):
    value = {"page_size": 4096, "devices": list(devices)} | more
    return vmdescription.parse(json.dumps(value).encode())


def size(*fields, **more):
    return parse(device(*fields, **more)).devices["d", 0].size


def test_length_of_a_section():
    assert size() == 0
    assert size(FIELD, FIELD) == 8
    assert size(FIELD | {"array_len": 3}) == 12
    assert size(FIELD | {"index": 0}, FIELD | {"index": 1}) == 8
    inner = {"vmsd_name": "i", "version": 1, "fields": [FIELD, FIELD]}
    assert size({"name": "i", "type": "struct", "size": 8, "array_len": 2, "struct": inner}) == 16
    assert size({"name": "i", "type": "tmp", "size": 8} | inner) == 8
    assert size({"name": "i", "type": "struct", "size": 1, "struct": {}}) == 1  # a null pointer
    assert size(FIELD, subsections=[SUBSECTION]) == 4 + 1 + 1 + 3 + 4 + 4


def test_parts_must_add_up():
    inner = {"vmsd_name": "i", "version": 1, "fields": [FIELD]}
    with pytest.raises(WireError, match="of d, i adds up to 4 bytes, not 5"):
        size({"name": "i", "type": "struct", "size": 5, "struct": inner})


@pytest.mark.parametrize(
    ("devices", "text"),
    [
        ([{"name": "d", "instance_id": 0}], "of device 'd' has no fields"),
        ([device(), device()], "has device 'd' 0 twice"),
        ([device({"name": "a", "type": "uint8"})], "has no number 'size'"),
        ([device({"name": "a", "type": "uint8", "size": -1})], "has no number 'size'"),
        ([device({"name": "a", "size": 1})], "has no text 'type'"),
        ([device(1)], "has no list of objects 'fields'"),
        ([{"fields": []}], "has no text 'name'"),
    ],
)
def test_what_a_description_must_have(devices, text):
    with pytest.raises(WireError, match=text):
        parse(*devices)


def test_not_json():
    with pytest.raises(WireError, match="is not JSON"):
        vmdescription.parse(b"{")


def test_each_device_has_one_section_as_described():
    devices = Devices(parse(device(FIELD)))
    section = vmstream.Section(vmstream.FULL, 1, "d", 0, 2)
    with pytest.raises(WireError, match="'d' has version 3, and 2 in the description"):
        Devices(devices.description).take(section._replace(version=3))
    with pytest.raises(WireError, match="'d' 1 is not described"):
        devices.take(section._replace(instance=1))
    with pytest.raises(WireError, match="'d' 0 is described and not there"):
        devices.check_complete()
    assert devices.take(section).size == 4
    devices.check_complete()
    with pytest.raises(WireError, match="'d' 0 is not described"):
        devices.take(section)


def test_found_in_bytes_that_grow_one_by_one(golden_stream):
    data = golden_stream("7.2-pc")
    found = Search().look(data)
    assert found.end == len(data)
    assert data[found.offset : found.offset + 2] == b"\0\x06"
    start, search, grown = found.offset - 500, Search(), bytearray()
    for byte in data[start:]:
        assert search.look(grown) is None
        grown.append(byte)
    again = search.look(grown)
    assert (again.offset + start, again.end + start) == (found.offset, found.end)
    assert again.description == found.description


def test_what_only_looks_like_one_is_passed_over():
    text = json.dumps({"page_size": 4096, "devices": []}).encode()
    false = b"\0\x06\0\0\0\x02{}" + b"\0\x06\0\0\0\x09{not json" + b"\0\x06\0\0\x10\0{longer"
    data = false + bytes([vmstream.EOF, vmstream.VMDESCRIPTION]) + len(text).to_bytes(4) + text
    found = Search().look(data)
    assert (found.offset, found.end) == (len(false), len(data))
