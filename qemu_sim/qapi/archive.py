"""The file of one recorded QEMU: a readable head, then compressed sections.

    {"format": 1, …head…, "sections": {"query-machines": [offset, size], …}} <newline>
    <zlib stream of JSON> <zlib stream of JSON> …

The head (first line) is plain JSON, so the version is known without decompressing
anything. Offsets count from the byte after the newline; each section is read when
it is asked for. zlib, not xz: files are a fifth larger, and load several times faster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_FORMAT = 1


class Archive:
    """Read access to one file. Raises OSError, or ValueError where it is no archive."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as file:
            line = file.readline()
        self._start = len(line)
        try:
            self.head: dict[str, Any] = dict(json.loads(line))
            self._sections: dict[str, list[int]] = self.head.pop("sections")
            recorded = self.head.pop("format")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a QEMU profile") from error
        if recorded != _FORMAT:
            raise ValueError(f"{path} has profile format {recorded}, expected {_FORMAT}")

    def __contains__(self, section: str) -> bool:
        return section in self._sections

    def names(self) -> list[str]:
        """Every section there is."""
        return list(self._sections)

    def read(self, section: str) -> Any:
        """One section's value, parsed anew. KeyError where there is none."""
        import zlib  # noqa: PLC0415 - the greeting is sent without it

        offset, size = self._sections[section]
        with open(self.path, "rb") as file:
            file.seek(self._start + offset)
            return json.loads(zlib.decompress(file.read(size)))


def write_archive(path: str, head: Mapping[str, Any], sections: Mapping[str, Any]) -> None:
    """Write a file that `Archive` reads; every value must be JSON."""
    import zlib  # noqa: PLC0415 - see Archive.read

    places, blobs, offset = {}, [], 0
    for name, value in sections.items():
        blob = zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 9)
        places[name] = [offset, len(blob)]
        blobs.append(blob)
        offset += len(blob)
    line = json.dumps({"format": _FORMAT, **head, "sections": places})
    with open(path, "wb") as file:
        file.write(line.encode() + b"\n" + b"".join(blobs))
