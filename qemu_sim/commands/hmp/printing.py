"""HMP's `print`, which does arithmetic.

QEMU: monitor/hmp-target.c (hmp_print)
"""

from __future__ import annotations

from qemu_sim.commands.hmp.arguments import Format
from qemu_sim.commands.hmp.table import Session, hmp

_UINT64 = 1 << 64
_ESCAPES = {"'": "\\'", "\\": "\\\\", "\n": "\\n", "\r": "\\r"}


@hmp("print")
def print_(_session: Session, fmt: Format, val: int) -> str:
    """Print a value, as `/d`, `/u`, `/o`, `/c` or, if nothing is said, `/x` wants it."""
    unsigned = val % _UINT64
    match fmt.kind:
        case "x":
            return f"{unsigned:#x}\n" if val else "0\n"
        case "o":
            return f"0{unsigned:o}\n" if val else "0\n"
        case "u":
            return f"{unsigned}\n"
        case "c":
            return f"'{character(unsigned & 0xFF)}'\n"
    return f"{val}\n"


def character(code: int) -> str:
    """Return the character of a code as C would write it."""
    printed = chr(code)
    if printed in _ESCAPES:
        return _ESCAPES[printed]
    return printed if " " <= printed <= "~" else f"\\x{code:02x}"
