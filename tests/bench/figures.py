"""Figures, what is aimed at, and the table they stand in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Row:
    """One figure, the aim if it has one, whether that was reached, and what others take."""

    name: str
    text: str
    aim: str = ""
    reached: bool | None = None
    beside: dict[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> list[str]:
        verdict = {True: "reached", False: "MISSED", None: ""}[self.reached]
        beside = "; ".join(f"{name} {text}" for name, text in self.beside.items())
        return [self.name, self.text, self.aim, verdict, beside]


def at_most(name, value, limit, unit: Callable[[float], str] = str, beside=None) -> Row:
    """Return the row of a figure that is to be small; `unit` writes such a figure."""
    return Row(name, unit(value), f"<= {unit(limit)}", value <= limit, beside or {})


def at_most_times(name, value, factor, others: dict[str, float], unit) -> Row:
    """Return the row of a figure that is to be at most some times the best of `others`."""
    beside = {other: unit(each) for other, each in others.items()}
    if not others:
        return Row(name, f"{unit(value)}, nothing to compare it with")
    ratio = value / min(others.values())
    return Row(name, f"{ratio:.2f} x QEMU's", f"<= {factor} x", ratio <= factor, beside)


def at_least_times(name, value, factor, others: dict[str, float], unit) -> Row:
    """Return the row of a figure that is to be at least some times the best of `others`."""
    beside = {other: unit(each) for other, each in others.items()}
    if not others:
        return Row(name, f"{unit(value)}, nothing to compare it with")
    ratio = value / max(others.values())
    text = f"{unit(value)} = {ratio:.1f} x QEMU's"
    return Row(name, text, f">= {factor} x", ratio >= factor, beside)


def table(rows) -> str:
    cells = [["figure", "qemu-sim", "aim", "", "beside it"], *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def median(values) -> float:
    return percentile(values, 50)


def percentile(values, percent: int) -> float:
    """Return the smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * percent // 100) - 1, 0)]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def a_second(rate: float) -> str:
    return f"{rate:,.0f}/s"
