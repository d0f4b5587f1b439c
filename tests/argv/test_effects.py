"""Nothing that the command line can say is forgotten on the way to the machine."""

import ast
import os

import qemu_sim
from qemu_sim.machine.configuration import WITHOUT_EFFECT, Configuration

ROOT = os.path.dirname(qemu_sim.__file__)
# Who acts on a command line; what only reads or checks it does not count.
ACTING = ("cli.py", "front.py", "host.py", "machine/settings.py")


def _read_members(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and "configuration" in ast.unparse(node.value)
    }


def test_each_member_has_an_effect_or_a_reason_for_none():
    acted_on = set().union(*map(_read_members, ACTING))

    assert sorted(acted_on & set(Configuration.__slots__) | set(WITHOUT_EFFECT)) == sorted(
        Configuration.__slots__
    )
    assert acted_on.isdisjoint(WITHOUT_EFFECT)
