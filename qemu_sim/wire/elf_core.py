"""The head and the tail of an ELF core file, as dump-guest-memory writes it.

QEMU: dump/dump.c (dump_begin), target/i386/arch_dump.c

    ELF header
    two section headers: the empty one, and the one of their names
    a program header for the notes, and one for each block of memory
    notes: one CORE for each CPU, then one QEMU for each
    the blocks, one behind the other
    the names of the sections

No CPU here has ever run an instruction: each is where a reset leaves it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III8s")
_SEGMENT = struct.Struct("<IIIIQ")
_IDENT = b"\x7fELF\x02\x01\x01"
_CORE, _I386 = 4, 3  # no CPU is in long mode
_HEADER_SIZE = 8  # as QEMU has it, which measures a pointer
_LOAD, _NOTES = 1, 4
_STRTAB = 3
_NAMES = b"\0.shstrtab\0"
_PRSTATUS = 1
_RESET_IP, _RESET_FLAGS, _RESET_CR0 = 0xFFF0, 2, 0x60000010
_CODE_BASE, _CODE_SELECTOR = 0xFFFF0000, 0xF000
_LIMIT = 0xFFFF
# Flags of cs; ds, es, fs, gs, ss; ldt, tr, gdt, idt. target/i386/cpu.c (x86_cpu_reset)
_FLAGS = (0x9B00, 0x9300, 0x9300, 0x9300, 0x9300, 0x9300, 0x8200, 0x8B00, 0, 0)


class Block(NamedTuple):
    """A part of guest memory; `offset` is its place in RAM, None where there is none."""

    address: int
    length: int
    offset: int | None


class Core(NamedTuple):
    """What stands around the blocks."""

    head: bytes
    tail: bytes


def core(blocks: Sequence[Block], cpus: int, signature: int) -> Core:
    """Return what surrounds `blocks`; `signature` is what CPUID says of each of `cpus`."""
    notes = b"".join(_prstatus(cpu, signature) for cpu in range(cpus))
    notes += _qemu_note(signature) * cpus
    programs_at = _HEADER.size + 2 * _SECTION.size
    notes_at = programs_at + (1 + len(blocks)) * _PROGRAM.size
    start = notes_at + len(notes)
    size = len(notes)
    programs = [_PROGRAM.pack(_NOTES, 0, notes_at, 0, 0, size, size, 0)]
    at = start
    for block in blocks:
        length, address = block.length, block.address
        programs.append(_PROGRAM.pack(_LOAD, 0, at, address, address, length, length, 0))
        at += length
    header = _HEADER.pack(
        *(_IDENT, _CORE, _I386, 1, 0, programs_at, _HEADER.size, 0, _HEADER_SIZE),
        *(_PROGRAM.size, len(programs), _SECTION.size, 2, 1),
    )
    names = _SECTION.pack(1, _STRTAB, 0, 0, at, len(_NAMES), 0, 0, 0, 0)
    return Core(header + bytes(_SECTION.size) + names + b"".join(programs) + notes, _NAMES)


def _prstatus(cpu: int, signature: int) -> bytes:
    """A 32-bit CPU's status: it is not in long mode."""
    registers = struct.pack("<7I", 0, 0, signature, 0, 0, 0, 0) + bytes(16)
    state = struct.pack("<6I", 0, _RESET_IP, _CODE_SELECTOR, _RESET_FLAGS, 0, 0)
    body = bytes(24) + struct.pack("<I", cpu + 1) + bytes(44) + registers + state + bytes(4)
    return _NOTE.pack(5, len(body), _PRSTATUS, b"CORE") + body


def _qemu_note(signature: int) -> bytes:
    """All registers of a CPU, as QEMUCPUState has them."""
    general = struct.pack("<16Q", 0, 0, 0, signature, *[0] * 12)
    state = struct.pack("<2Q", _RESET_IP, _RESET_FLAGS)
    segments = b"".join(
        _SEGMENT.pack(
            *((_CODE_SELECTOR, _LIMIT, flags, 0, _CODE_BASE) if first else (0, _LIMIT, flags, 0, 0))
        )
        for first, flags in zip((True, *[False] * 9), _FLAGS, strict=True)
    )
    control = struct.pack("<6Q", _RESET_CR0, 0, 0, 0, 0, 0)
    body = general + state + segments + control
    body = struct.pack("<II", 1, len(body) + 8) + body
    return _NOTE.pack(5, len(body), 0, b"QEMU") + body
