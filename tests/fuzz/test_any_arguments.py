"""Whatever the arguments are, the answer is a dict or a QMPError."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qemu_sim.errors import QMPError
from qemu_sim.qapi import extension
from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.device_properties import parse_device_properties

SCHEMAS = {name: extension.merged(profiles.load(name).schema) for name in ("7.2", "11.1")}


@pytest.mark.parametrize("version", SCHEMAS)
@settings(deadline=None)
@given(data=st.data())
def test_arguments_pass_or_raise_a_qmp_error(near, version, data):
    schema = SCHEMAS[version]
    command = data.draw(st.sampled_from(sorted(schema.names("command"))))
    described = schema.command(command)
    arguments = data.draw(near(schema, described.argument_type))
    with suppress(QMPError):
        assert set(schema.check_arguments(command, arguments)) == set(arguments)


@settings(deadline=None)
@given(
    st.sampled_from(["7.2", "11.1"]),
    st.sampled_from(["virtio-net-pci", "pcie-root-port", "virtio-blk-pci", "nope", "device"]),
    st.dictionaries(
        st.sampled_from(["mac", "addr", "mq", "bus", "vectors", "x", "werror"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    ),
)
def test_properties_pass_or_raise_a_qmp_error(version, driver, given_properties):
    with suppress(QMPError):
        checked = parse_device_properties(profiles.load(version), driver, given_properties)
        assert set(checked) <= set(given_properties)
