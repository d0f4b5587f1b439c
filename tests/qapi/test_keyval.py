import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi.keyval import merge, parse_integer, parse_keyval


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", {}),
        ("q35", {"type": "q35"}),
        ("q35,smp.cpus=2,smp.cores=1", {"type": "q35", "smp": {"cpus": "2", "cores": "1"}}),
        ("a=1,,2,b=", {"a": "1,2", "b": ""}),
        ("a=b=c,a=d", {"a": "d"}),
        ("l.1=b,l.0=a", {"l": ["a", "b"]}),
        ("l.0.x=1,l.1.x=2", {"l": [{"x": "1"}, {"x": "2"}]}),
        ("__org.qemu_x=1", {"__org.qemu_x": "1"}),
        ("a=1,", {"a": "1"}),
    ],
)
def test_trees(text, tree):
    assert parse_keyval(text, "type") == tree


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a", "Expected '=' after parameter 'a'"),
        ("a=1,b", "Expected '=' after parameter 'b'"),
        ("=1", "Invalid parameter ''"),
        ("a=1,,=2", None),
        ("a..b=1", "Invalid parameter 'a..b'"),
        ("a.=1", "Invalid parameter 'a.'"),
        ("0=1", "Invalid parameter '0'"),
        ("a b=1", "Invalid parameter 'a b'"),
        ("a.b=1,a=2", "Parameters 'a.*' used inconsistently"),
        ("a=2,a.b.c=1", "Parameters 'a.*' used inconsistently"),
        ("a.b.0=1,a.b.c=2", "Parameters 'a.b.*' used inconsistently"),
        ("a.0=1,a.2=2", "Parameter 'a.1' missing"),
        ("x" * 128 + "=1", f"Parameter '{'x' * 128}' is too long"),
    ],
)
def test_refusals(text, error):
    if error is None:
        assert parse_keyval(text) == {"a": "1,=2"}
        return
    with pytest.raises(QMPError) as caught:
        parse_keyval(text)
    assert str(caught.value) == error


def test_merging_keeps_what_is_not_said_again():
    tree = {"type": "pc", "smp": {"cpus": "2"}, "accel": "tcg"}

    merge(tree, {"type": "q35", "smp": {"cores": "1"}})

    assert tree == {"type": "q35", "smp": {"cpus": "2", "cores": "1"}, "accel": "tcg"}


def test_integers():
    assert [parse_integer("n", text) for text in ("1", "-1", "0x10")] == [1, -1, 16]
    with pytest.raises(QMPError, match=r"Parameter 'smp\.cpus' expects integer"):
        parse_integer("smp.cpus", "99999999999999999999")
