"""The errors that cross a boundary on purpose.

QEMU: qapi/error.json, include/qapi/qmp/qerror.h

    QMPError           answered to a QMP client; `class_` and the text are QEMU's
      CommandNotFound, DeviceNotFound, DeviceNotActive, KVMMissingCap
    MigrationError     ends one migration: status `failed`, the text is `error-desc`
    WireError          the peer broke a protocol
      LoadError        a migration stream that cannot be loaded, in QEMU's words
    FdError            our own misuse of a descriptor

Anything else that escapes is a bug of ours. It is logged with its traceback and
answered as a GenericError that says so.
"""

from __future__ import annotations

import errno
import os


class QMPError(Exception):
    """An error for a QMP client. `str(error)` is the reply's `desc`."""

    class_ = "GenericError"

    def __init__(self, desc: str = "", hint: str = "") -> None:
        """`hint` is told to people only: on standard error, and by the human monitor."""
        super().__init__(desc)
        self.hint = hint

    @property
    def hinted(self) -> str:
        """What people are told."""
        return f"{self}\n{self.hint}" if self.hint else str(self)

    def behind(self, words: str) -> QMPError:
        """Return the same error with words before it."""
        return QMPError(f"{words}{self}", self.hint)


class CommandNotFound(QMPError):
    """The command does not exist, or not in this phase of the session."""

    class_ = "CommandNotFound"


class DeviceNotFound(QMPError):
    """No device, netdev or other named thing of that name."""

    class_ = "DeviceNotFound"


class DeviceNotActive(QMPError):
    """The device exists but is not in use."""

    class_ = "DeviceNotActive"


class KVMMissingCap(QMPError):
    """The host's KVM lacks a capability."""

    class_ = "KVMMissingCap"


class MigrationError(Exception):
    """Ends one migration; `str(error)` becomes `error-desc`."""


class WireError(Exception):
    """The peer sent what its protocol does not allow."""


class LoadError(WireError):
    """A migration stream that cannot be loaded, in QEMU's words.

    `str(error)` is the reason that QEMU 11.1 gives. Some reasons say little, and QEMU prints
    another line before. QEMU 7.2 prints `older` behind it, or the reason if nothing is printed.
    """

    def __init__(
        self,
        text: str,
        *,
        older: str | None = None,
        printed: str = "",
        number: int = errno.EINVAL,
        older_number: int | None = None,
    ) -> None:
        """`number` is the errno that the whole load fails with; `detail` says the most."""
        super().__init__(text)
        self.detail = printed or text
        self._printed = [printed] if printed else []
        self._older = ("" if printed else text) if older is None else older
        self._number = number
        self._strerror = os.strerror(number)
        self._older_strerror = os.strerror(older_number or number)

    def told(self, *, keeps_reason: bool) -> tuple[list[str], str]:
        """Return the lines that are printed, and the `error-desc`.

        `keeps_reason`: as the QEMU does that prints no reason, but gives it to its clients.
        """
        text = "load of migration failed"
        if keeps_reason:
            return self._printed, f"{text}: {self._strerror}: {self}"
        return self._printed_by_older, f"{text}: {self._older_strerror}"

    def told_of_snapshot(self, *, keeps_reason: bool) -> tuple[list[str], str]:
        """Return the lines that are printed, and the error, where it was in a snapshot."""
        if keeps_reason:
            return self._printed, str(self)
        return self._printed_by_older, f"Error -{self._number} while loading VM state"

    @property
    def _printed_by_older(self) -> list[str]:
        return [*self._printed, self._older] if self._older else self._printed


class FdError(Exception):
    """A descriptor was used after it was closed or given away."""
