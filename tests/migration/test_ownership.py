"""Everything that two ends, their channel and an operator can do: who owns the machine then.

Each world is a state of both ends, what is on its way between them, and what is left of the
channel. From each, all that may happen next is tried until nothing new is found: either end
says or hears the next word of the very tables that the code goes by, fails (an error, a
timeout, a cancel) or is killed at any moment; the channel breaks, and with it what is on its
way from any word on; a postcopy gets a new channel; an operator says `cont`, by the rule.
"""

from __future__ import annotations

import collections
import copy
from typing import NamedTuple

import pytest

from qemu_sim.errors import WireError
from qemu_sim.migration.ownership import HAND_OVER, ONE_WAY, RETURN_PATH, End

# States in which an end runs the machine, or may without being told to.
OWNERS = ({"owner", "offered", "agreed", "handed", "trusting", "kept"}, {"owner", "done"})
# An operator's rule: `cont` here only when the other end is dead, or has failed.
HAS_FAILED = {None, "held", "empty"}
NAMES = ("source", "destination")
TORN = "torn"  # what the kernel tells whose peer went without having read everything


class World(NamedTuple):
    """`ends`: a state each, None when killed; `sent`: the words of each on their way."""

    ends: tuple
    sent: tuple = ((), ())
    connected: tuple = (True, True)
    cut: bool = False  # whether something between the ends has broken

    def says(self, side, *words):
        arrive = self.connected[1 - side] and not self.cut
        return self._put("sent", side, self.sent[side] + words) if arrive else self

    def hears(self, side):
        return self._put("sent", 1 - side, self.sent[1 - side][1:])

    def is_at(self, side, state):
        return self._put("ends", side, state)

    def hangs_up(self, side):
        """What is unread is lost, and the other end hears of that; what was said arrives."""
        if not self.connected[side]:
            return self
        world = self.says(side, TORN) if self.sent[1 - side] else self
        return world._put("sent", 1 - side, ())._put("connected", side, False)

    def _put(self, name, index, value):
        pair = getattr(self, name)
        return self._replace(**{name: (value, pair[1]) if index == 0 else (pair[0], value)})


class Model:
    """Walks through all worlds of one kind of dialogue, and remembers a shortest way to each."""

    def __init__(self, rules, last_words, *, but=(), faults=True, obeyed=True, lies=False) -> None:
        """`last_words`: what a failing end says. `but`: events that never happen.

        `obeyed`: whether operators obey the rule. `lies`: whether what breaks in between may
        have passed on a word and yet have the sender believe that nobody read it.
        """
        self.rules, self.last_words = rules, last_words
        self.but, self.faults, self.obeyed, self.lies = but, faults, obeyed, lies
        first = World(tuple(next(iter(table)) for table in rules))
        self.way = {first: None}
        self.ends = []  # worlds in which nothing more happens of itself
        self.moves = 0
        queue = collections.deque([first])
        while queue:
            self._visit(queue.popleft(), queue)

    def _visit(self, world, queue):
        settled = True
        for what, after in self._next(world):
            self.moves += 1
            settled &= what.endswith((" cont", " is killed", "breaks")) or after == world
            if after not in self.way:
                self.way[after] = (what, world)
                queue.append(after)
        if settled:
            self.ends.append(world)

    def find(self, condition, *, among=None):
        """How the nearest world that meets `condition` comes about, None if none does."""
        found = next(filter(condition, among or self.way), None)
        told = [] if found is None else [f"{found.ends[0]}, {found.ends[1]}"]
        while found is not None and (step := self.way[found]) is not None:
            what, found = step
            told.insert(0, what)
        return told or None

    def owners(self, world):
        return [state for state, owns in zip(world.ends, OWNERS, strict=True) if state in owns]

    def has_two_owners(self, world):
        return len(self.owners(world)) == 2

    def is_stuck(self, world):
        """Nobody runs it, no operator may, and yet its last owner was not killed."""
        source, destination = world.ends
        killed = (source is None and destination in (None, "empty")) or (
            destination is None and source in (None, "released")
        )
        return not (self.owners(world) or killed or any(map(self._may_cont, [world] * 2, (0, 1))))

    def _may_cont(self, world, side):
        state, other = world.ends[side], world.ends[1 - side]
        permitted = not self.obeyed or other in HAS_FAILED
        return state is not None and "cont" in self.rules[side][state] and permitted

    def _next(self, world):
        for side in (0, 1):
            if world.ends[side] is not None:
                yield from self._acts(world, side)
                yield from self._hears(world, side)
        if self.faults and not world.cut:
            yield from self._breaks(world)
        if world.ends == ("elsewhere", "owner") and not any(world.connected):
            yield "a new channel", World(world.ends)

    def _acts(self, world, side):
        """What an end does of itself."""
        state, name = world.ends[side], NAMES[side]
        for event, target in self.rules[side][state].items():
            if event == "cont" and self._may_cont(world, side):
                yield f"{name} cont", self._moved(world, side, target)
            elif event == "fail" and self.faults:
                yield f"{name} fails", self._failed(world, side, target)
            elif event in self.but:
                continue
            elif event in ("start", "end") or (event[0] == "!" and world.connected[side]):
                words = [event[1:]] * (event[0] == "!")
                yield f"{name} {event}", self._moved(world.says(side, *words), side, target)
        if self.faults:
            yield f"{name} is killed", world.hangs_up(side).is_at(side, None)

    def _hears(self, world, side):
        """What an end is told by the other, or by the kernel."""
        row, words = self.rules[side][world.ends[side]], world.sent[1 - side]
        listens = any(event[0] == "?" for event in row)
        if not world.connected[side] or not listens:
            return
        if words:
            event, world = (TORN if words[0] == TORN else f"?{words[0]}"), world.hears(side)
        elif world.cut or not world.connected[1 - side]:
            event = "lost"
        else:
            return
        if event == TORN and TORN not in row:
            event = "lost"
        if event in row:
            yield f"{NAMES[side]} {event}", self._moved(world, side, row[event])
        elif "fail" in row:
            yield f"{NAMES[side]} {event}: fails", self._failed(world, side, row["fail"])

    def _breaks(self, world):
        """Some of the words that are on their way get there, the others do not."""
        for forth in range(len(world.sent[0]) + 1):
            for back in range(len(world.sent[1]) + 1):
                sent = (world.sent[0][:forth], world.sent[1][:back])
                yield "the channel breaks", world._replace(sent=sent, cut=True)
                if self.lies:
                    lie = (sent[0], (*sent[1], TORN))
                    yield "the channel breaks", world._replace(sent=lie, cut=True)

    def _moved(self, world, side, target):
        """An end hangs up when it has come to its own."""
        world = world.is_at(side, target)
        is_over = not self.rules[side][target].keys() - {"cont"}
        return world.hangs_up(side) if is_over else world

    def _failed(self, world, side, target):
        """What keeps the machine, or never had it, says so."""
        word = self.last_words[side]
        if word and target in ("kept", "empty") and world.connected[side]:
            world = world.says(side, word)
        return world.is_at(side, target).hangs_up(side)


PRECOPY = {"rules": RETURN_PATH, "last_words": (None, "failed"), "but": ("!package",)}
POSTCOPY = PRECOPY | {"but": ("!all",)}
DIALOGUES = {
    "hand-over": {"rules": HAND_OVER, "last_words": ("abort", "refused")},
    "precopy": PRECOPY,
    "one-way": {"rules": ONE_WAY, "last_words": (None, "failed")},
    "postcopy": POSTCOPY,
}
# How many worlds and moves there are: who changes a table sees how much that changes.
SIZES = {
    "hand-over": (216, 932),
    "precopy": (77, 296),
    "one-way": (69, 284),
    "postcopy": (132, 558),
}


def model(name, **changes):
    return Model(**(DIALOGUES[name] | changes))


@pytest.fixture(scope="module", params=DIALOGUES)
def walked(request):
    found = model(request.param)
    found.name = request.param
    return found


def test_never_two_owners(walked):
    assert walked.find(walked.has_two_owners) is None


def test_never_none_once_the_survivors_know(walked):
    """But in postcopy: behind the package, only the destination can go on."""
    story = walked.find(walked.is_stuck, among=walked.ends)
    assert (story is not None) == (walked.name == "postcopy")
    if story is not None:
        assert "source !package" in story


def test_each_world_is_tried(walked):
    assert (len(walked.way), walked.moves) == SIZES[walked.name]


@pytest.mark.parametrize("name", DIALOGUES)
def test_without_faults_it_completes(name):
    assert {world.ends for world in model(name, faults=False).ends} == {("released", "done")}


@pytest.mark.parametrize(
    ("name", "is_possible"),
    [("hand-over", False), ("precopy", False), ("one-way", True)],
)
def test_who_knows_that_the_destination_runs(name, is_possible):
    """A source without a return path may be completed, and the destination have failed."""
    walked = model(name)
    failed = walked.find(lambda world: world.ends == ("released", "empty"))
    assert (failed is not None) == is_possible


@pytest.mark.parametrize("name", DIALOGUES)
def test_the_operators_rule_is_needed(name):
    """`cont` while the other end is under way makes two owners: nothing here can prevent it."""
    walked = model(name, obeyed=False)
    story = walked.find(walked.has_two_owners)
    assert story[-2].endswith((" cont", " start"))
    assert any(step.endswith(" cont") for step in story)


@pytest.mark.parametrize(
    ("name", "is_possible"),
    [("hand-over", False), ("precopy", True), ("one-way", True), ("postcopy", True)],
)
def test_a_relay_that_lies(name, is_possible):
    """Only commit, behind which a source goes back for no reason, withstands it."""
    walked = model(name, lies=True)
    assert (walked.find(walked.has_two_owners) is not None) == is_possible


@pytest.mark.parametrize(
    ("name", "side", "state", "event", "target"),
    [
        ("hand-over", 0, "committed", "fail", "kept"),  # a source that resumes after commit
        ("hand-over", 0, "committed", "fail", "released"),  # or lets go of it, unheard
        ("hand-over", 0, "trusting", "!commit", "kept"),
        ("hand-over", 0, "handed", "?ready", "released"),
        ("hand-over", 1, "laden", "!ready", "told"),  # a destination that starts without commit
        ("hand-over", 1, "ready", "lost", "owner"),
        ("hand-over", 1, "ready", "fail", "owner"),
        ("precopy", 0, "owner", "!all", "kept"),  # a cancel when all is sent
        ("precopy", 0, "given", "fail", "kept"),
        ("one-way", 0, "written", "fail", "kept"),
        ("postcopy", 0, "elsewhere", "fail", "kept"),
    ],
)
def test_a_wrong_table_is_found(name, side, state, event, target):
    rules = copy.deepcopy(DIALOGUES[name]["rules"])
    rules[side][state][event] = target
    walked = model(name, rules=rules)
    two = walked.find(walked.has_two_owners)
    assert two or walked.find(walked.is_stuck, among=walked.ends)


def test_an_end_goes_by_its_table():
    end = End(HAND_OVER.destination)
    with pytest.raises(WireError, match="'commit' out of turn: this end is waiting"):
        end.hear("commit")
    with pytest.raises(AssertionError):
        end.step("start")
    end.hear("offer")
    assert end.fail() == "empty"
    assert end.fail() == "empty"
