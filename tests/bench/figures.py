"""Figures, and the table they stand in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Row:
    """One figure. `value` is to be at most `target`, or at least that with `at_least`."""

    name: str
    text: str
    target: float | None = None
    value: float | None = None
    beside: dict[str, str] = field(default_factory=dict)
    at_least: bool = False

    @property
    def cells(self) -> list[str]:
        beside = "; ".join(f"{name} {text}" for name, text in self.beside.items())
        return [self.name, self.text, *self._verdict(), beside]

    def _verdict(self) -> tuple[str, str]:
        """Return the target as a text, and whether it was reached."""
        if self.target is None or self.value is None:
            return "", ""
        if self.at_least:
            return f">= {self.target:,.0f}/s", "ok" if self.value >= self.target else "MISSED"
        small = 0 < self.target < 1
        text = milliseconds(self.target) if small else f"{self.target:g}"
        return f"<= {text}", "ok" if self.value <= self.target else "MISSED"


def table(rows) -> str:
    cells = [["figure", "qemu-sim", "target", "", "beside it"], *(row.cells for row in rows)]
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
