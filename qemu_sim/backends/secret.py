"""The object secret: a password or key, given in the command line or in a file.

QEMU: crypto/secret.c, crypto/secret_common.c

It is read when the object is made, as in QEMU, so that a wrong path fails the start.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from qemu_sim.backends.object import Object, Place
from qemu_sim.errors import QMPError
from qemu_sim.host_path import host_path

_BASE64 = re.compile(rb"[A-Za-z0-9+/=\n\r]*")
# What a client reads of members that nobody gave. QEMU 7.2 also tells that it has loaded it.
_UNGIVEN = {"data": "", "file": "", "format": "raw", "keyid": "", "iv": "", "loaded": True}


class Secret(Object):
    """A secret in the clear."""

    TYPE = "secret"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Read the secret. Raises QMPError in QEMU's words."""
        super().__init__(id, {**_UNGIVEN, **options}, place)
        if "keyid" in options:
            find_secret(self.place.objects, options["keyid"])
            raise QMPError("a secret that is encrypted by another is not simulated by qemu-sim")
        content = _content(options)
        if self.options["format"] == "base64":
            if not _BASE64.fullmatch(content):
                raise QMPError("Base64 data contains invalid characters")
            content = base64.b64decode(content)
        self.content = content


def find_secret(objects: Mapping[str, Object], id: str) -> Secret:
    """Return the secret of that ID among a machine's objects. Raises QMPError in QEMU's words."""
    found = objects.get(id)
    if found is None:
        raise QMPError(f"No secret with id '{id}'")
    if not isinstance(found, Secret):
        raise QMPError(f"Object with id '{id}' is not a secret")
    return found


def _content(options: dict[str, Any]) -> bytes:
    """Return what `data` or `file` holds."""
    if "file" in options and "data" in options:
        raise QMPError("'file' and 'data' are mutually exclusive")
    if "data" in options:
        return str(options["data"]).encode()
    if "file" not in options:
        raise QMPError("Either 'file' or 'data' must be provided")
    path = str(options["file"])
    try:
        with open(host_path(path), "rb") as file:
            return file.read()
    except IsADirectoryError as error:
        raise _unreadable(path, "Error reading", error) from error
    except OSError as error:
        raise _unreadable(path, "Failed to open", error) from error


def _unreadable(path: str, step: str, error: OSError) -> QMPError:
    # GLib does not take the bytes of U+0000 for text.
    shown = path.replace("\0", "\ufffd\ufffd")
    quoted = f"\N{LEFT DOUBLE QUOTATION MARK}{shown}\N{RIGHT DOUBLE QUOTATION MARK}"  # GLib's
    return QMPError(f"Unable to read {path}: {step} file {quoted}: {error.strerror}")
