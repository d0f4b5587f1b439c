"""The table at the end, and whether it shows what it should."""

from __future__ import annotations

from dataclasses import dataclass

_NOBODY_MAY_ASK = "kcmp is refused here"


@dataclass
class Column:
    """What is known of one thing that was handed over. None: does not apply to it."""

    device: str
    backend: str
    other_end: str
    descriptors: int
    same_files: int | None  # None: the kernel does not tell
    blackout_us: int | None = None
    traffic: str | None = None
    done: int | None = None
    wrong: int | None = None
    longest_wait_us: int | None = None
    messages: int | str | None = None
    goes_on: bool | None = None

    def cells(self):
        same = f"{self.same_files} of {self.descriptors}"
        return [
            self.device,
            self.backend,
            self.other_end,
            str(self.descriptors),
            _NOBODY_MAY_ASK if self.same_files is None else same,
            _microseconds(self.blackout_us),
            self.traffic or "-",
            _number(self.done),
            _number(self.wrong),
            _microseconds(self.longest_wait_us),
            _number(self.messages),
            {True: "yes", False: "NO", None: "-"}[self.goes_on],
        ]

    def complaints(self):
        """Name each fact that should be otherwise."""
        facts = {
            "not every descriptor is the same open file": self.same_files
            not in (None, self.descriptors),
            "something was lost or wrong": self.wrong,
            "nothing was sent": self.done == 0,
            "the server was sent messages": self.messages not in (None, 0)
            and isinstance(self.messages, int),
            "it does not go on after the source's end": self.goes_on is False,
        }
        return [f"{self.device}: {text}" for text, found in facts.items() if found]


_HEADINGS = (
    "",
    "backend",
    "other end",
    "descriptors handed over",
    "same open file (kcmp)",
    "blackout",
    "traffic",
    "  sent and answered",
    "  lost or wrong",
    "  longest wait for an answer",
    "messages to the server during the move",
    "goes on after SIGKILL of the source",
)


def table(columns) -> str:
    """Lay the columns out side by side."""
    texts = [_HEADINGS, *(column.cells() for column in columns)]
    widths = [max(map(len, cells)) for cells in texts]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*texts, strict=True)
    ]
    return "\n".join([lines[0], "-" * sum((*widths, 2 * len(columns))), *lines[1:]])


def _microseconds(value) -> str:
    return "-" if value is None else f"{value:,} us"


def _number(value) -> str:
    return f"{value:,}" if isinstance(value, int) else value or "-"
