"""How a line is read: expressions, sizes, flags and words."""

import pytest

from qemu_sim.commands.hmp.arguments import Format, read
from qemu_sim.commands.hmp.expression import evaluate
from qemu_sim.errors import QMPError

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "value", "rest"),
    [
        ("1+2*3", 7, ""),
        (" ( 1 + 2 ) * 3 next", 9, "next"),
        ("0x10 010 10", 16, "010 10"),
        ("010+0", 8, ""),
        ("08", 0, "8"),
        ("'a'-'b'", -1, ""),
        ("6&3|8", 10, ""),
        ("1+6&3", 3, ""),
        ("-7/2", -3, ""),
        ("-7%2", -1, ""),
        ("~0", -1, ""),
        ("0xffffffffffffffff", -1, ""),
        ("0x7fffffffffffffff+1", -(1 << 63), ""),
    ],
)
def test_expressions_are_those_of_c(text, value, rest):
    assert evaluate(text) == (value, rest)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "unexpected end of expression"),
        ("1/0", "division by zero"),
        ("(1", "')' expected"),
        ("'", "character constant expected"),
        ("'ab'", "missing terminating ' character"),
        ("$pc", "unknown register"),
        ("z", "invalid char 'z' in expression"),
        ("18446744073709551616", "number too large"),
    ],
)
def test_what_is_no_expression(text, words):
    with pytest.raises(QMPError) as caught:
        evaluate(text)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("signature", "text", "values"),
    [
        ("", "  ", {}),
        ("a:s,b:s?", 'x "y z"', {"a": "x", "b": "y z"}),
        ("a:s,b:s?", r'"\"\\\n"', {"a": '"\\\n'}),
        ("f:-f,g:-g,a:s", "-g x", {"g": True, "a": "x"}),
        ("f:-f,g:-g,a:s", "-f -g x", {"f": True, "g": True, "a": "x"}),
        ("a:F,f:-fs,b:i?", "x -f png 3", {"a": "x", "f": "png", "b": 3}),
        ("a:S", " x  y ", {"a": "x  y "}),
        ("a:o", "10", {"a": 10 * MIB}),
        ("a:o", "1.5k", {"a": 1536}),
        ("a:o", "0x10", {"a": 16 * MIB}),
        ("a:M", "2+2", {"a": 4 * MIB}),
        ("a:i,b:i.", "1 . 2", {"a": 1, "b": 2}),
        ("f:/,a:l", "/4xb 1", {"f": Format(4, "x", 1), "a": 1}),
        ("f:/,a:l", "/i 1", {"f": Format(1, "i", None), "a": 1}),
        ("a:b", "off", {"a": False}),
    ],
)
def test_arguments(signature, text, values):
    assert read("name", signature, text) == values


@pytest.mark.parametrize(
    ("signature", "text", "words"),
    [
        ("", "x", "name: extraneous characters at the end of line"),
        ("a:B", "", "name: block device name expected"),
        ("a:F", '"x', "name: filename expected"),
        ("a:s", r'"\t"', "name: string expected"),
        ("a:S", " ", "name: string expected"),
        ("f:-f,a:s", "-x", "name: unsupported option -x"),
        ("a:F,f:-fs", "x -f", "name: value expected for -f"),
        ("a:o", "x", "invalid size"),
        ("a:o", "9E", "invalid size"),
        ("a:M", "-1", "enter a positive value"),
        ("a:i", "1<", "name: extraneous characters at the end of line"),
        ("a:i", "0x100000000", "'name' has failed: integer is for 32-bit values"),
        ("f:/,a:l", "/q 1", "invalid char in format: 'q'"),
        ("a:b", "yes", "Expected 'on' or 'off'"),
    ],
)
def test_what_is_wrong_with_them(signature, text, words):
    with pytest.raises(QMPError) as caught:
        read("name", signature, text)
    assert str(caught.value) == words
