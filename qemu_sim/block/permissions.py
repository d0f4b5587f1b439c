"""Who may do what to a node at the same time: the arithmetic.

QEMU: include/block/block-common.h (BLK_PERM_*), block.c (bdrv_default_perms, bdrv_perm_names)

Everybody who uses a node says what they need to do to it, and what they let others do. A
node that is asked for something asks the nodes below in turn; these functions say for what.
"""

from __future__ import annotations

from enum import Flag
from typing import NamedTuple


class Permission(Flag):
    """What a user may need; the order is that of QEMU's messages."""

    CONSISTENT_READ = 1
    WRITE = 2
    WRITE_UNCHANGED = 4
    RESIZE = 8

    @property
    def words(self) -> str:
        """Its members as a message lists them."""
        return ", ".join(str(each.name).lower().replace("_", " ") for each in self)

    @property
    def listed(self) -> list[str]:
        """Its members as x-debug-query-block-graph lists them: the last first."""
        names = [str(each.name).lower().replace("_", "-") for each in self]
        return names[::-1]


NONE = Permission(0)
READ, WRITE, UNCHANGED, RESIZE = Permission
ALL = ~NONE


class Claim(NamedTuple):
    """What one user needs, and what it lets the others do."""

    needs: Permission = NONE
    shares: Permission = ALL

    def with_writers(self) -> Claim:
        """Return the same, but others may write as well: the process that has the image."""
        return self._replace(shares=self.shares | WRITE | RESIZE)


FREE = Claim()
"""Nothing needed, everything shared."""


def named(names: list[str]) -> Permission:
    """Return the permissions that a client calls so, as in BlockPermission."""
    found = NONE
    for name in names:
        found |= Permission[name.replace("-", "_").upper()]
    return found


def of_backing(asked: Claim) -> Claim:
    """Return what an image that is asked for `asked` asks of its backing file."""
    shares = READ | UNCHANGED
    if asked.shares & WRITE:
        shares |= WRITE | RESIZE
    return Claim(asked.needs & READ, shares)


def of_data(asked: Claim) -> Claim:
    """Return what a format asks of the file that has its data."""
    needs = asked.needs
    if needs & UNCHANGED:
        needs |= WRITE
    if needs & WRITE:
        needs |= RESIZE
    return Claim(needs, asked.shares & ~RESIZE)


def of_image(asked: Claim, *, writable: bool) -> Claim:
    """Return what a format asks of the file that has its own tables as well.

    It may write to those even where the guest does not write.
    """
    needs = asked.needs | READ
    if writable:
        needs |= WRITE | RESIZE
    return of_data(Claim(needs, asked.shares & ~(WRITE | RESIZE)))
