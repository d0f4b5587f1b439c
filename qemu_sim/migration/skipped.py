"""What a destination received and has no use for, as `query-migrate` tells it."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from qemu_sim.wire.vmstream import Section

_log = logging.getLogger(__name__)


class Skipped:
    """Device sections and blocks of RAM that a real QEMU has and this machine has not."""

    def __init__(self) -> None:
        self._sections: list[dict[str, Any]] = []
        self.pages: Counter[str] = Counter()

    def note(self, section: Section, size: int) -> None:
        """Remember a section of `size` bytes."""
        self._sections.append(
            {
                "name": section.name,
                "instance": section.instance,
                "version": section.version,
                "size": size,
            }
        )

    def log(self) -> None:
        """Say it, if there is anything."""
        if self._sections:
            names = ", ".join(each["name"] for each in self._sections)
            _log.warning("%d device sections were skipped: %s", len(self._sections), names)
        if self.pages:
            blocks = ", ".join(f"{name} ({count} pages)" for name, count in self.pages.items())
            _log.warning("%d blocks of RAM were skipped: %s", len(self.pages), blocks)

    def to_qapi(self) -> dict[str, Any] | None:
        """Return the SimSkipped, None if nothing was skipped."""
        if not self._sections and not self.pages:
            return None
        blocks = [{"name": name, "pages": count} for name, count in self.pages.items()]
        return {"sections": self._sections, "blocks": blocks}
