"""IP datagrams of which only some fragments have come.

RFC 791, RFC 8200 section 4.5, RFC 5722. There is no clock here: what never completes is
pushed out by newer datagrams. A datagram whose fragments contradict each other is
dropped whole.
"""

from __future__ import annotations

from typing import Any

_MAX_DATAGRAMS = 32
_MAX_PIECES = 256
_MAX_SIZE = 65535
_UNIT = 8  # fragment offsets count units of 8 bytes


class Fragments:
    """The incomplete datagrams of one IP version; a key is any bytes that tell them apart."""

    def __init__(self) -> None:
        """Begin with none."""
        self._datagrams: dict[bytes, _Datagram] = {}

    def add(self, key: bytes, offset: int, more: bool, data: bytes) -> bytes | None:
        """Keep one fragment, `offset` in bytes; return the payload once it is complete."""
        datagram = self._datagrams.pop(key, None) or _Datagram()
        if not datagram.add(offset, more, data):
            return None
        if datagram.complete:
            return datagram.payload()
        self._datagrams[key] = datagram
        if len(self._datagrams) > _MAX_DATAGRAMS:
            del self._datagrams[next(iter(self._datagrams))]
        return None

    def save(self) -> list[dict[str, Any]]:
        """Return what has come so far, as JSON."""
        return [{"key": key.hex(), **part.save()} for key, part in self._datagrams.items()]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Go on from what `save` returned."""
        self._datagrams = {bytes.fromhex(part["key"]): _Datagram.load(part) for part in state}


class _Datagram:
    """The fragments of one datagram: byte offset to bytes, never overlapping."""

    def __init__(self) -> None:
        self.pieces: dict[int, bytes] = {}
        self.size: int | None = None  # known since the last fragment came
        self.received = 0

    @property
    def complete(self) -> bool:
        return self.received == self.size

    def payload(self) -> bytes:
        return b"".join(self.pieces[offset] for offset in sorted(self.pieces))

    def add(self, offset: int, more: bool, data: bytes) -> bool:
        """Keep the fragment; False when the datagram makes no sense with it."""
        if self.pieces.get(offset) == data:
            return True  # the network may deliver a fragment twice
        end = offset + len(data)
        if not data or end > _MAX_SIZE or len(self.pieces) >= _MAX_PIECES:
            return False
        if (more and len(data) % _UNIT) or self._overlaps(offset, end):
            return False
        if not more:
            if self.size is not None:
                return False
            self.size = end
        self.pieces[offset] = data
        self.received += len(data)
        return self.size is None or self._end() <= self.size

    def save(self) -> dict[str, Any]:
        pieces = [[offset, data.hex()] for offset, data in self.pieces.items()]
        return {"pieces": pieces, "size": self.size}

    @classmethod
    def load(cls, state: dict[str, Any]) -> _Datagram:
        datagram = cls()
        datagram.pieces = {offset: bytes.fromhex(data) for offset, data in state["pieces"]}
        datagram.received = sum(len(data) for data in datagram.pieces.values())
        datagram.size = state["size"]
        return datagram

    def _overlaps(self, start: int, end: int) -> bool:
        return any(
            start < offset + len(data) and offset < end for offset, data in self.pieces.items()
        )

    def _end(self) -> int:
        last = max(self.pieces)
        return last + len(self.pieces[last])
