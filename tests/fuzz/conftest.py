"""Input made at random: a little of it by default, for minutes with `make fuzz`."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st

# `make fuzz`; otherwise it is the hundred that are the default.
settings.register_profile("fuzz", settings.get_profile("default"), max_examples=3000)

# Names of what a machine may have; no path leads out of the working directory.
NAMES = st.sampled_from(
    ["m0", "n0", "d0", "c0", "pcie.0", "ram", "file", "off", "auto", "virtio-net-pci", "tcp::0"]
)
TEXTS = NAMES | st.text(
    st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="/\0"), max_size=5
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**65) | FLOATS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
BUILTINS = {
    "string": TEXTS,
    "int": st.integers(-(2**64), 2**65) | st.integers(0, 9),
    "number": FLOATS | st.integers(),
    "boolean": st.booleans(),
    "null": st.none(),
    "value": VALUES,
}


def _near(schema, name, depth):
    """Values that nearly fit a type: right but for a twist here and there."""
    entity = schema.by_name[name]
    match entity["meta-type"]:
        case "builtin":
            right = BUILTINS[entity["json-type"]]
        case "enum":
            right = st.sampled_from(entity["values"])
        case "array":
            right = st.lists(_near(schema, entity["element-type"], depth - 1), max_size=2)
        case "alternate":
            kinds = [member["type"] for member in entity["members"]]
            right = st.one_of([_near(schema, kind, depth - 1) for kind in kinds])
        case _ if depth > 0:
            right = st.sampled_from(entity.get("variants", [None])).flatmap(
                lambda variant: _near_object(schema, entity, variant, depth)
            )
        case _:
            right = st.just({})
    return right | SCALARS if depth < 4 else right


def _near_object(schema, entity, variant, depth):
    members = list(entity["members"])
    if variant is not None:
        members += schema.by_name[variant["type"]]["members"]
    kinds = {member["name"]: _near(schema, member["type"], depth - 1) for member in members}
    if variant is not None:
        kinds[entity["tag"]] = st.just(variant["case"])
    required = {m["name"]: kinds[m["name"]] for m in members if "default" not in m}
    optional = {name: kind for name, kind in kinds.items() if name not in required}
    return st.fixed_dictionaries(required, optional=dict(list(optional.items())[:6]))


@pytest.fixture(scope="session")
def near():
    """Make a strategy for arguments, nearly right, of the type so named in a schema."""

    def arguments(schema, name):
        right = _near(schema, name, 4)
        return (right | VALUES).map(lambda v: v if isinstance(v, dict) else {"x": v})

    return arguments
