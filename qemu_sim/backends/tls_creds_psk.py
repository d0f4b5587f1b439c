"""The object tls-creds-psk: keys that both sides know. Nothing here speaks TLS, so none is read.

QEMU: crypto/tlscredspsk.c
"""

from __future__ import annotations

from qemu_sim.backends.tls_creds_x509 import TlsCredsX509


class TlsCredsPsk(TlsCredsX509):
    """Says what is missing."""

    TYPE = "tls-creds-psk"
    NEEDED = "keys.psk"
