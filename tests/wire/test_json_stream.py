"""The parser against what real QEMUs answered, and against itself cut in pieces."""

import itertools
import json
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qemu_sim.wire import json_text
from qemu_sim.wire.json_stream import JsonError, JsonStream

V11, V7 = (11, 1, 3), (7, 2, 22)
DATA = os.path.join(os.path.dirname(__file__), "..", "data")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abé\0\"'", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
# Pieces of JSON and of what is nearly JSON, so that random input gets deep into the grammar.
FRAGMENTS = (
    b"""{~}~[~]~:~,~"a"~'b'~"a":~{"a":1}~{"a":{}}\n~{"a":1,"a":2}~[1,2]~\"\t\"~/**/~%d~@~ ~\n~\r\n~\t"""
    b"""~0~1~-~-0~01~0e1~0.0e1~1e~1.5E+2~1e400~18446744073709551616~-9223372036854775809"""
    b"""~true~null~nope~NaN~Infinity~-Infinity~\x00~\xff~\xfe~\xc3~"\x7f"~"\xc3\xa9"~"\xc0\x80" """
    b"""~"\xed\xa0\x80"~"\xf8\x88\x80\x80\x80"~"\xef\xbf\xbe"~{"execute":"query-name","id":7}\n"""
    rb"""~"\u00e9"~"\ud800"~"\ud83d\ude00"~"\ud83f\udfff"~"\u12"~"\x"~"\'"~'\"'~"\\"~"\u0000" """
).split(b"~")
fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map(b"".join)


def texts(items):
    return [item.text for item in items if isinstance(item, JsonError)]


def bytewise(version, data):
    stream = JsonStream(version)
    return [item for at in range(len(data)) for item in stream.receive(data[at : at + 1])]


def recorded(version):
    with open(os.path.join(DATA, f"recorded-{version}.jsonl"), encoding="ascii") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize("version", ["11.1.3", "7.2.22"])
def test_recorded_syntax_errors(version):
    checked = 0
    for case in recorded(version):
        if case["group"] not in ("json", "json2", "framing", "envelope"):
            continue
        stream = JsonStream(tuple(map(int, version.split("."))))
        stream.receive(b'{"execute":"qmp_capabilities"}\n')
        for step in case["steps"]:
            if step["op"] != "send" or "sha256" in step:
                stream.receive(step.get("data", "").encode("latin-1"))
                continue
            errors = [
                reply["error"]["desc"]
                for line in step.get("expect", "").splitlines()
                if "error" in (reply := json.loads(line)) and "JSON " in reply["error"]["desc"]
            ]
            errors = [error for error in errors if not error.startswith("QMP input")]
            items = stream.receive(step["data"].encode("latin-1"))
            assert texts(items) == errors, case["case"]
            checked += 1
    assert checked > 150


@pytest.mark.parametrize("version", [V11, V7])
@given(data=fragments, cuts=st.lists(st.integers(0, 60), max_size=5))
@example(data=b'{"a":0e1}{"b":1}', cuts=[])
@example(data=b'{"a":[1 2' + b"\xff" + b"{}", cuts=[9])
@example(data=b'{"a":"\\ud800"}', cuts=[])
@example(data=b'{"a":1,"a":2}{}', cuts=[])
def test_any_cut_gives_the_same(version, data, cuts):
    """The scanner and the lexer agree: one byte at a time, only the lexer is used."""
    want = bytewise(version, data)
    assert repr(JsonStream(version).receive(data)) == repr(want)
    stream = JsonStream(version)
    edges = [0, *sorted(cuts), len(data)]
    items = [
        item for begin, end in itertools.pairwise(edges) for item in stream.receive(data[begin:end])
    ]
    assert repr(items) == repr(want)


@pytest.mark.parametrize("version", [V11, V7])
@given(data=st.binary(max_size=40))
def test_rubbish_never_raises_and_ff_resynchronises(version, data):
    stream = JsonStream(version)
    stream.receive(data)
    stream.receive(b"\xff\n")
    assert stream.receive(b'{"execute":"x"}') == [{"execute": "x"}]


@given(value=json_values)
def test_what_is_written_is_read_again(value):
    # A double without a fraction is written, and so read, as an integer.
    line = json_text.line([value])
    for version in (V11, V7):
        if b"inf" not in line:
            assert JsonStream(version).receive(line) == [[value]]


@pytest.mark.parametrize("version", [V11, V7])
def test_1024_levels_and_no_more(version):
    deep = b"[" * 1024 + b"]" * 1024
    (value,) = JsonStream(version).receive(deep)
    assert json_text.text(value) == deep.decode()
    assert texts(JsonStream(version).receive(b"[" * 1025)) == ["JSON nesting depth limit exceeded"]


def test_objects_nested_deeply_are_not_given_to_a_recursive_scanner():
    deep = b'{"a":' * 1000 + b"1" + b"}" * 1000
    (value,) = JsonStream(V11).receive(deep)
    assert json_text.text(value).count("{") == 1000


@pytest.mark.parametrize(
    ("version", "rest"), [(V11, []), (V7, ["JSON parse error, invalid keyword 'bb'"])]
)
def test_oversize_token(version, rest, monkeypatch):
    monkeypatch.setattr("qemu_sim.wire.json_lexer.MAX_TOKEN_SIZE", 8)
    monkeypatch.setattr("qemu_sim.wire.json_message.MAX_SIZE", 8)
    items = JsonStream(version).receive(b'"aaaaaaaabb\n')
    assert texts(items) == ["JSON token size limit exceeded", *rest]


def test_token_count(monkeypatch):
    monkeypatch.setattr("qemu_sim.wire.json_message.MAX_TOKENS", 3)
    assert texts(JsonStream(V11).receive(b"[1,1,1,1]")) == ["JSON token count limit exceeded"]
    items = JsonStream(V7).receive(b"[1,1,")
    assert texts(items) == ["JSON token count limit exceeded", "JSON parse error, expecting value"]


@pytest.mark.parametrize(
    ("token", "value"),
    [
        (b"18446744073709551615", 18446744073709551615),
        (b"18446744073709551616", 18446744073709551616.0),
        (b"-9223372036854775808", -(2**63)),
        (b"-9223372036854775809", -9223372036854775809.0),
        (b"1" * 5000, float("inf")),
        (b"-0", 0),
    ],
)
def test_numbers(token, value):
    for data in (b'{"n":' + token + b"}", b"{'n':" + token + b"}"):
        (item,) = JsonStream(V11).receive(data)
        assert item == {"n": value}
        assert type(item["n"]) is type(value)


def test_long_token_in_many_chunks_takes_linear_time():
    stream = JsonStream(V11)
    stream.receive(b'{"a":"')
    for _ in range(2000):
        assert stream.receive(b"y" * 1000) == []
    (value,) = stream.receive(b'"}')
    assert len(value["a"]) == 2_000_000
