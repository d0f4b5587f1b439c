"""Modules that asyncio imports and a start never uses: loaded when first used instead.

`importlib.util.LazyLoader` is meant for this, but up to Python 3.12 loads at the second
`import` of a module, used or not, and these are imported several times.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# More than a third of what importing asyncio takes: TLS, and what describes errors.
OF_ASYNCIO = ("asyncio.sslproto", "inspect", "linecache", "locale", "ssl", "textwrap")


class _Deferred(ModuleType):
    """Stands where a module would, and becomes it when asked for anything."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        loaded = import_module(self.__name__)
        vars(self).update(vars(loaded))
        return getattr(loaded, name)


def defer(names: tuple[str, ...]) -> None:
    """Let an import of these modules cost nothing, unless they are there already."""
    for name in names:
        sys.modules.setdefault(name, _Deferred(name))
