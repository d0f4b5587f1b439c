"""Device properties against what QEMU 7.2 and 11.1 say about the same values."""

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi.device_properties import parse_device_properties


def test_complains_as_qemu_does(version, profile, read_recorded):
    def complaint(case):
        try:
            parse_device_properties(
                profile, case["driver"], case["properties"], typed=case["typed"]
            )
        except QMPError as error:
            return str(error)
        return None

    cases = read_recorded("qapi-device-properties.jsonl")
    different = [
        (case["driver"], case["properties"], case[version], mine)
        for case in cases
        if (mine := complaint(case)) != case[version]
    ]
    assert different == []


def test_reads_each_value_by_its_type(profile):
    given = {"mq": "yes", "vectors": "0x12", "mac": "52:54:00:12:34:56", "netdev": "n0"}
    expected = {"mq": True, "vectors": 18, "mac": "52:54:00:12:34:56", "netdev": "n0"}
    assert parse_device_properties(profile, "virtio-net-pci", given) == expected


def test_json_keeps_its_types(profile):
    given = {"mq": True, "vectors": 18}
    assert parse_device_properties(profile, "virtio-net-pci", given, typed=True) == given


def test_a_value_that_is_no_string_comes_from_json(profile):
    given = {"mq": True, "bus": "pci.0"}
    assert parse_device_properties(profile, "virtio-net-pci", given) == given


def test_the_extension_adds_a_property_that_can_be_left_out(profile):
    given = {"backend-transfer": "off"}
    assert parse_device_properties(profile, "virtio-net-pci", given) == given
    with pytest.raises(QMPError, match=r"Property 'virtio-net-pci\.backend-transfer' not found"):
        parse_device_properties(profile, "virtio-net-pci", given, dialect=None)
    with pytest.raises(QMPError, match="'backend-transfer' does not accept value 'x'"):
        parse_device_properties(profile, "vhost-user-blk-pci", {"backend-transfer": "x"})
    with pytest.raises(QMPError, match=r"Property 'virtio-rng-pci\.backend-transfer' not found"):
        parse_device_properties(profile, "virtio-rng-pci", given)
