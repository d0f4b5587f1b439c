"""Who owns a machine that migrates: where each end stands and what moves it, as data.

An event is `!word` where the end says it, `?word` where it hears it, and else what happens
here: `fail` (an error, a timeout, a cancel, a word that is not expected), `lost` (the peer
is gone without a last word), `torn` (the kernel says that the peer went without having read
everything), `end` (nothing more is waited for), `start` (the guest may run) and `cont` (an
operator's, who knows that the other end is gone or has failed). Where `lost` is not in a
state's row it is a `fail`.

`Outgoing` and `Incoming` have an `End` each, and act on where it says they stand. The tests
walk through everything that two such ends, a channel that breaks and an operator can do.
What they show:

- HAND_OVER: never two owners. As soon as the survivors know, one serves, or it is held
  where `cont` starts it; what was given away completely is closed by nobody.
- RETURN_PATH (QEMU's, with the capability): the same for a precopy. Behind a postcopy's
  package the destination alone can go on: with it, the machine dies.
- ONE_WAY (QEMU's, without): never two owners. But a source that is completed does not know
  whether a destination started; it can be continued from postmigrate as QEMU's can.

`torn` is the word of the peer's own kernel: a relay that takes everything and then breaks
makes it a lie, and the two plain dialogues have no way to notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from qemu_sim.errors import WireError

Table = Mapping[str, Mapping[str, str]]
"""By state: what each event leads to."""


class Rules(NamedTuple):
    """The states of both ends in one kind of dialogue; the first of each is where it begins."""

    source: Table
    destination: Table


HAND_OVER = Rules(
    source={
        "owner": {"!offer": "offered", "fail": "kept"},
        "offered": {"?answer": "agreed", "fail": "kept"},
        "agreed": {"!state": "handed", "fail": "kept"},
        "handed": {"?ready": "trusting", "fail": "kept"},
        "trusting": {"!commit": "committed", "fail": "kept"},
        "committed": {"?started": "released", "fail": "held"},  # whatever it hears
        "held": {"cont": "kept"},
        "kept": {},
        "released": {},
    },
    destination={
        "waiting": {"?offer": "asked", "fail": "empty"},
        "asked": {"!answer": "agreed", "fail": "empty"},
        "agreed": {"?state": "laden", "fail": "empty"},
        "laden": {"!ready": "ready", "fail": "empty"},
        "ready": {"?commit": "told", "lost": "held", "fail": "empty"},
        "told": {"start": "owner", "fail": "empty"},
        "owner": {"!started": "done", "fail": "owner"},
        "held": {"cont": "done"},
        "done": {},
        "empty": {},
    },
)
RETURN_PATH = Rules(
    source={
        "owner": {"!all": "given", "!package": "packed", "fail": "kept"},
        "given": {"?shut": "released", "?failed": "kept", "torn": "kept", "fail": "held"},
        "packed": {"?loaded": "elsewhere", "?failed": "kept", "torn": "kept", "fail": "held"},
        # In postcopy: a lost channel pauses, and a failed destination has not started.
        "elsewhere": {"?shut": "released", "?failed": "kept", "fail": "elsewhere"},
        "held": {"cont": "kept"},
        "kept": {},
        "released": {},
    },
    destination={
        "waiting": {"?all": "told", "?package": "listening", "fail": "empty"},
        "listening": {"!loaded": "told", "fail": "empty"},
        "told": {"start": "owner", "fail": "empty"},
        "owner": {"!shut": "done", "fail": "owner"},
        "done": {},
        "empty": {},
    },
)
ONE_WAY = Rules(
    source={
        "owner": {"!all": "written", "fail": "kept"},
        "written": {
            "?failed": "kept",
            "torn": "kept",
            "lost": "released",
            "end": "released",
            "fail": "held",
        },
        "held": {"cont": "kept"},
        "kept": {},
        "released": {"cont": "kept"},  # it keeps all it has
    },
    destination={
        "waiting": {"?all": "told", "fail": "empty"},
        "told": {"start": "done", "fail": "empty"},
        "done": {},
        "empty": {},
    },
)


class End:
    """One end of one migration. Every move goes through its table."""

    __slots__ = ("_table", "state")

    def __init__(self, table: Table) -> None:
        self._table = table
        self.state = next(iter(table))

    @property
    def may_go_back(self) -> bool:
        """Whether a source that fails now goes on as the owner."""
        return self._table[self.state].get("fail") == "kept"

    def knows(self, event: str) -> bool:
        """Whether `event` means something now."""
        return event in self._table[self.state]

    def fail(self) -> str:
        """Fail, where that changes anything, and return the state."""
        return self.step("fail") if self.knows("fail") else self.state

    def hear(self, word: str) -> None:
        """Move as the peer's `word` has it. Raises WireError where it is not expected."""
        if not self.knows(f"?{word}"):
            raise WireError(f"'{word}' out of turn: this end is {self.state}")
        self.step(f"?{word}")

    def step(self, event: str) -> str:
        """Move, and return the new state. An illegal move is our bug, hence an assertion."""
        assert self.knows(event), f"{event} of an end that is {self.state}"
        self.state = self._table[self.state][event]
        return self.state
