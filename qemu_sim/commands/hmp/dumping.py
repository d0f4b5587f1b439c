"""HMP commands that look at RAM: xp, x and sum.

QEMU: monitor/hmp-cmds-target.c (memory_dump), monitor/hmp-cmds.c (hmp_sum)

The CPUs of the simulated guest have no paging, so that `x` sees what `xp` does.
"""

from __future__ import annotations

from collections.abc import Iterator

from qemu_sim.commands.hmp.arguments import Format
from qemu_sim.commands.hmp.printing import character
from qemu_sim.commands.hmp.table import Session, hmp
from qemu_sim.errors import QMPError
from qemu_sim.machine.cpu_properties import has_cpus

_UINT16 = 0xFFFF
_UINT32 = 1 << 32
_LONGEST = 1 << 20
_NEWER = (8, 0, 0)  # than 7.2, which writes out addresses, and octal numbers without a zero


@hmp("xp")
def xp(session: Session, fmt: Format, addr: int) -> str:
    """Print values in RAM."""
    digits = 8 if session.machine.profile.version >= _NEWER else 16
    return "".join(_lines(session, fmt, addr % (1 << 64), digits))


@hmp("x")
def x(session: Session, fmt: Format, addr: int) -> str:
    """Print values in what a CPU sees."""
    if not has_cpus(session.machine):
        return "Can not dump without CPU\n"
    return "".join(_lines(session, fmt, addr % (1 << 64), 16))


@hmp("sum")
def sum_(session: Session, start: int, size: int) -> str:
    """Print the checksum of a range, as the program `sum` computes it; what is no RAM is ones."""
    _check_length("sum", size % _UINT32)
    memory = session.machine.memory
    total = 0
    for address in range(start % _UINT32, start % _UINT32 + size % _UINT32):
        value = memory.read(address, 1)[0] if address < memory.size else 0xFF
        total = ((total >> 1 | total << 15) + value) & _UINT16
    return f"{total:05}\n"


def _lines(session: Session, fmt: Format, address: int, digits: int) -> Iterator[str]:
    if fmt.size is None:
        raise QMPError("not simulated by qemu-sim: instructions")
    left = fmt.size * fmt.number
    _check_length("x and xp", left)
    size = 1 if fmt.kind == "c" else fmt.size
    longest = 8 if fmt.size == 1 else 16
    while left > 0:
        length = min(left, longest)
        yield f"{address:0{digits}x}:"
        try:
            data = session.machine.memory.read(address, length)
        except IndexError:
            yield " Cannot access memory\n"
            return
        for at in range(0, length, size):
            value = int.from_bytes(data[at : at + size], "little")
            yield f" {_value(session, fmt.kind, size, value)}"
        yield "\n"
        address, left = address + length, left - length


def _check_length(what: str, length: int) -> None:
    """Keep one line from occupying the process for minutes, as it may QEMU's."""
    if length > _LONGEST:
        raise QMPError(f"not simulated by qemu-sim: {what} of more than {_LONGEST} bytes")


def _value(session: Session, kind: str, size: int, value: int) -> str:
    bits = 8 * size
    match kind:
        case "x":
            return f"0x{value:0{bits // 4}x}"
        case "o":
            zero = "0" if session.machine.profile.version >= _NEWER else ""
            return f"{zero}{value:{-(-bits // 3)}o}"
        case "c":
            return f"'{character(value)}'"
    if kind == "d" and size == 8 and value >> 63:  # noqa: PLR2004 - only these have a sign
        value -= 1 << 64
    return f"{value:{-(-bits * 10 // 33)}}"
