"""The object tls-creds-x509: certificates. Nothing here speaks TLS, so none is read.

QEMU: crypto/tlscreds.c (qcrypto_tls_creds_get_path), crypto/tlscredsx509.c
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from qemu_sim.backends.object import Object, Place
from qemu_sim.errors import QMPError
from qemu_sim.host_path import host_path


class TlsCredsX509(Object):
    """Says in QEMU's words what is missing, and then that the rest is not simulated."""

    TYPE = "tls-creds-x509"
    NEEDED: ClassVar[str] = "ca-cert.pem"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Raises QMPError."""
        super().__init__(id, options, place)
        if "dir" not in options:
            raise QMPError("Missing 'dir' property value")
        path = f"{options['dir']}/{self.NEEDED}"
        try:
            os.stat(host_path(path))
        except OSError as error:
            raise QMPError(f"Unable to access credentials {path}: {error.strerror}") from None
        raise QMPError(f"object type '{self.TYPE}' is not simulated by qemu-sim")
