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
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
BUILTINS = {
    "string": st.text(max_size=5),
    "int": st.integers(-(2**64), 2**65),
    "number": st.floats() | st.integers(),
    "boolean": st.booleans(),
    "null": st.none(),
    "value": VALUES,
}


def near(schema, name, depth):
    """Values that nearly fit a type: right but for a twist here and there."""
    entity = schema.by_name[name]
    match entity["meta-type"]:
        case "builtin":
            right = BUILTINS[entity["json-type"]]
        case "enum":
            right = st.sampled_from(entity["values"])
        case "array":
            right = st.lists(near(schema, entity["element-type"], depth - 1), max_size=2)
        case "alternate":
            kinds = [member["type"] for member in entity["members"]]
            right = st.one_of([near(schema, kind, depth - 1) for kind in kinds])
        case _ if depth > 0:
            right = st.sampled_from(entity.get("variants", [None])).flatmap(
                lambda variant: near_object(schema, entity, variant, depth)
            )
        case _:
            right = st.just({})
    return right | SCALARS if depth < 4 else right


def near_object(schema, entity, variant, depth):
    members = list(entity["members"])
    if variant is not None:
        members += schema.by_name[variant["type"]]["members"]
    kinds = {member["name"]: near(schema, member["type"], depth - 1) for member in members}
    if variant is not None:
        kinds[entity["tag"]] = st.just(variant["case"])
    required = {m["name"]: kinds[m["name"]] for m in members if "default" not in m}
    optional = {name: kind for name, kind in kinds.items() if name not in required}
    return st.fixed_dictionaries(required, optional=dict(list(optional.items())[:6]))


@pytest.mark.parametrize("version", SCHEMAS)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_arguments_pass_or_raise_a_qmp_error(version, data):
    schema = SCHEMAS[version]
    command = data.draw(st.sampled_from(sorted(schema.names("command"))))
    described = schema.command(command)
    arguments = data.draw(near(schema, described.argument_type, 4) | VALUES)
    if not isinstance(arguments, dict):
        arguments = {"x": arguments}
    with suppress(QMPError):
        assert set(schema.check_arguments(command, arguments)) == set(arguments)


@given(
    st.sampled_from(["7.2", "11.1"]),
    st.sampled_from(["virtio-net-pci", "pcie-root-port", "virtio-blk-pci", "nope", "device"]),
    st.dictionaries(
        st.sampled_from(["mac", "addr", "mq", "bus", "vectors", "x", "werror"]), SCALARS
    ),
)
@settings(max_examples=80, deadline=None)
def test_properties_pass_or_raise_a_qmp_error(version, driver, given_properties):
    with suppress(QMPError):
        checked = parse_device_properties(profiles.load(version), driver, given_properties)
        assert set(checked) <= set(given_properties)
