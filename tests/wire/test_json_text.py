"""QEMU's way of writing JSON."""

import enum

import pytest

from qemu_sim.wire import json_text


class Status(enum.StrEnum):
    RUNNING = "running"


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ({"id": 1, "return": {}}, '{"return": {}, "id": 1}'),
        (
            {"error": {"desc": "x", "class": "C"}, "id": 1},
            '{"id": 1, "error": {"class": "C", "desc": "x"}}',
        ),
        ({"b": 2, "a": 1}, '{"a": 1, "b": 2}'),
        ([], "[]"),
        ([[], {}, [{}]], "[[], {}, [{}]]"),
        ([1, True, None, False, Status.RUNNING], '[1, true, null, false, "running"]'),
        (0.1, "0.10000000000000001"),
        (1e-7, "9.9999999999999995e-08"),
        (1.0, "1"),
        (1e400, "inf"),
        (2**64 - 1, "18446744073709551615"),
        ('\0\b\f\n\r\t\x1f"\\/', '"\\u0000\\b\\f\\n\\r\\t\\u001F\\"\\\\/"'),
        ("\x7fé\U0001f600", '"\\u007F\\u00E9\\uD83D\\uDE00"'),
    ],
)
def test_text(value, want):
    assert json_text.text(value) == want


def test_what_lasts_is_written_like_any_list_and_once():
    lasting = json_text.Lasting([{"b": 1, "a": [None]}, "é"])
    for value in (lasting, {"return": lasting, "id": 1}, [lasting, [lasting]]):
        for pretty in (False, True):
            assert json_text.text(value, pretty=pretty) == json_text.text(
                _plain(value), pretty=pretty
            )
    assert lasting.line is lasting.line


def _plain(value):
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, dict) else value


def test_line_ends_in_cr_lf():
    assert json_text.line({}) == b"{}\r\n"


def test_pretty():
    value = {"return": [], "id": {"a": {}, "b": [1, {"c": 2}]}}
    assert json_text.pretty_lines(value).decode().split("\r\n") == [
        "{",
        '    "return": [',
        "    ],",
        '    "id": {',
        '        "a": {',
        "        },",
        '        "b": [',
        "            1,",
        "            {",
        '                "c": 2',
        "            }",
        "        ]",
        "    }",
        "}",
        "",
    ]


def test_depth_needs_no_recursion():
    value: list = []
    for _ in range(1100):
        value = [value]
    assert json_text.text(value) == "[" * 1101 + "]" * 1101
    assert json_text.pretty_lines(value).count(b"]") == 1101


def test_large_object():
    value = {f"k{n:03}": n for n in range(150)}
    assert json_text.text(value).startswith('{"k149": 149, "k148": 148')


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, (1, 2)])
def test_no_json(value):
    with pytest.raises(TypeError):
        json_text.text([value])
