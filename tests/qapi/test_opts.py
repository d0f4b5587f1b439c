import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi.opts import Group, Pair, as_text, parse_bool, parse_number, split

BARE = "short-form boolean option '{}' deprecated\nPlease use {} instead"


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("a=1,b=2", [("a", "1"), ("b", "2")]),
        ("path=/a,,b,c=d", [("path", "/a,b"), ("c", "d")]),
        ("a=b=c,d=,e=", [("a", "b=c"), ("d", ""), ("e", "")]),
        ("a=,,,,", [("a", ",,")]),
        ("a=1,", [("a", "1")]),
    ],
)
def test_pairs(text, pairs):
    assert [(pair.key, pair.value) for pair in split(text)] == pairs


def test_the_first_value_may_go_without_its_key():
    assert list(split("x,,y,a=1", "first")) == [Pair("first", "x,y"), Pair("a", "1")]
    assert list(split("a=1", "first")) == [Pair("a", "1")]


@pytest.mark.parametrize(
    ("text", "key", "value", "advice"),
    [
        ("server", "server", "on", "server=on"),
        ("nowait", "wait", "off", "wait=off"),
        ("delay", "delay", "on", "nodelay=off"),
        ("nodelay", "delay", "off", "nodelay=on"),
    ],
)
def test_a_bare_key_is_a_switch_and_deprecated(text, key, value, advice):
    assert list(split(text)) == [Pair(key, value, BARE.format(text, advice))]


def test_values_are_typed_and_the_last_counts():
    group = Group("g", "name", {"name": as_text, "on": parse_bool, "n": parse_number})

    opts = group.parse("me,on=off,n=0x10,on=yes,id=x", pytest.fail)

    assert opts == ("x", {"name": "me", "on": True, "n": 16})


def test_bare_keys_are_warned_of_before_they_are_refused():
    warnings = []

    with pytest.raises(QMPError, match="Invalid parameter 'bar'"):
        Group("g", "name", {"name": as_text}).parse("me,bar", warnings.append)

    assert warnings == [BARE.format("bar", "bar=on")]


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("010", 8), ("0xff", 255), ("-1", (1 << 64) - 1)]
)
def test_numbers(text, number):
    assert parse_number("n", text) == number


@pytest.mark.parametrize("text", ["", "x", "1x", "08", "1.5"])
def test_not_numbers(text):
    with pytest.raises(QMPError, match="Parameter 'n' expects a number"):
        parse_number("n", text)
