"""The errors that cross a boundary on purpose.

QEMU: qapi/error.json, include/qapi/qmp/qerror.h

    QMPError           answered to a QMP client; `class_` and the text are QEMU's
      CommandNotFound, DeviceNotFound, DeviceNotActive, KVMMissingCap
    MigrationError     ends one migration: status `failed`, the text is `error-desc`
    WireError          the peer broke a protocol
    FdError            our own misuse of a descriptor

Anything else that escapes is a bug of ours. It is logged with its traceback and
answered as a GenericError that says so.
"""

from __future__ import annotations


class QMPError(Exception):
    """An error for a QMP client. `str(error)` is the reply's `desc`."""

    class_ = "GenericError"


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


class FdError(Exception):
    """A descriptor was used after it was closed or given away."""
