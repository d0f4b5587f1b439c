"""Answers for hundreds of types that mostly repeat the same entries, stored once each.

`pooled` turns {type: [entry, …]} into {"entries": [entry, …], "types": {type: [index, …]}};
a `Pool` reads it back. Of QEMU 11.1's property lists this leaves a twentieth to parse.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Entry = dict[str, Any]


def pooled(answers: Mapping[str, Iterable[Entry]]) -> dict[str, Any]:
    """Store each different entry once; the order within a type is kept."""
    numbers: dict[str, int] = {}
    entries: list[Entry] = []
    types: dict[str, list[int]] = {}
    for name, listed in answers.items():
        types[name] = []
        for entry in listed:
            number = numbers.setdefault(json.dumps(entry), len(entries))
            if number == len(entries):
                entries.append(entry)
            types[name].append(number)
    return {"entries": entries, "types": types}


class Pool:
    """Read access to a pooled section."""

    def __init__(self, section: Mapping[str, Any]) -> None:
        self._entries: list[Entry] = section["entries"]
        self._types: dict[str, list[int]] = section["types"]

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def get(self, name: str) -> list[Entry] | None:
        """Entries of one type, shared and not to be changed; None for an unknown type."""
        numbers = self._types.get(name)
        return None if numbers is None else [self._entries[number] for number in numbers]
