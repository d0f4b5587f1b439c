"""What a VNC client answers a challenge with, if it knows the password.

RFC 6143, 7.2.2; QEMU: ui/vnc.c (protocol_client_auth_vnc)
"""

from __future__ import annotations

import hmac

from qemu_sim.errors import QMPError

_KEY_SIZE = 8  # bytes; what a password has beyond them does not count


def check_available() -> None:
    """Raise QMPError in QEMU's words where there is no DES."""
    try:
        from Crypto.Cipher import DES  # noqa: F401, PLC0415 - an extra
    except ImportError:
        hint = "pip install 'qemu-sim[vnc]' brings it."
        raise QMPError("Cipher backend does not support DES algorithm", hint) from None


def is_answer(password: str, challenge: bytes, response: bytes) -> bool:
    """Whether `response` shows that its sender knows the password."""
    from Crypto.Cipher import DES  # noqa: PLC0415 - an extra

    key = password.encode()[:_KEY_SIZE].ljust(_KEY_SIZE, b"\0")
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)  # VNC counts bits from the left
    expected = DES.new(mirrored, DES.MODE_ECB).encrypt(challenge)  # noqa: S304 - as VNC does
    return hmac.compare_digest(expected, response)
