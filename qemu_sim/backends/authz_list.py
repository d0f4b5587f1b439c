"""The object authz-list: rules of who may come in, where nobody asks for users.

QEMU: authz/list.c
"""

from __future__ import annotations

from qemu_sim.backends.object import Object


class AuthzList(Object):
    """Rules in order, and a policy for the rest."""

    TYPE = "authz-list"
