"""Where a value stands inside a command's arguments.

QEMU: qapi/qobject-input-visitor.c (full_name)

A path is a chain from the value upwards: `(parent, key)`, None at the root; a key is
a member's name or a list index. It costs one tuple a step and is spelled only when
something is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

Path = tuple["Path", str | int] | None
Step = tuple[Path, str | int]


def steps(path: Path) -> Iterator[str | int]:
    """Keys from the root down."""
    if path is not None:
        yield from steps(path[0])
        yield path[1]


def spell(path: Path) -> str:
    """As QEMU writes it for JSON: `channels[0].addr.port`; the root is 'null'."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in steps(path))
    return text.removeprefix(".") or "null"


def spell_dotted(path: Path) -> str:
    """As QEMU writes it for key=value options: `channels.0.addr.port`."""
    return ".".join(str(key) for key in steps(path)) or "null"


def bare_name(path: Path) -> str:
    """Only the member's own name, 'null' for a list element: what some errors print."""
    return path[1] if path is not None and isinstance(path[1], str) else "null"
