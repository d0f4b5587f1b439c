"""The object authz-simple: one user who may come in, where nobody asks for users.

QEMU: authz/simple.c
"""

from __future__ import annotations

from qemu_sim.backends.object import Object


class AuthzSimple(Object):
    """One identity."""

    TYPE = "authz-simple"
