"""Print what becomes of a migration in each dialect: `python tests/dialects`, `make dialects`.

Each cell is one attempt by two daemons with two TAPs, in a network namespace of its own;
the README has the table.
"""

# ruff: noqa: T201 - the table is what it is for

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from scenarios import SCENARIOS, Outcome, play
from speakers import SPEAKERS

from qemu_sim.testing import netns

_AT_ONCE = 4


def main() -> int:
    """Print the table; return the exit status."""
    obstacle = netns.why_not()
    if obstacle is not None:
        sys.stderr.write(f"{obstacle}\n")
        return 1
    cells = [(dialect, scenario) for scenario in SCENARIOS for dialect in SPEAKERS]
    fresh = get_context("spawn")
    with ProcessPoolExecutor(_AT_ONCE, fresh, initializer=netns.become_root) as pool:
        outcomes = dict(zip(cells, pool.map(play, *zip(*cells, strict=True)), strict=True))
    print("\n".join(table(outcomes)))
    return 0


def table(outcomes: dict) -> list[str]:
    """Return the lines of the table, and of its notes: each error once."""
    notes: list[str] = []
    lines = [f"| | {' | '.join(f'`{dialect}`' for dialect in SPEAKERS)} |"]
    lines.append("|---" * (len(SPEAKERS) + 1) + "|")
    for scenario in SCENARIOS:
        cells = [cell(outcomes[dialect, scenario], notes) for dialect in SPEAKERS]
        lines.append(f"| {scenario.title} | {' | '.join(cells)} |")
    return [*lines, "", *(f"{number}. `{text}`" for number, text in enumerate(notes, 1))]


def cell(outcome: Outcome, notes: list[str]) -> str:
    """Return an outcome's words, and the numbers of its errors' notes."""
    notes += [text for text in outcome.errors if text not in notes]
    numbers = ", ".join(str(notes.index(text) + 1) for text in outcome.errors)
    return f"{outcome.words} ({numbers})" if numbers else outcome.words


if __name__ == "__main__":
    sys.exit(main())
