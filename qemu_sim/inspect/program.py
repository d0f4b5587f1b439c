"""The command `qemu-sim inspect FILE`.

Prints what was read before something wrong, too; that is told on stderr, with its offset.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Iterator, Sequence

from qemu_sim.errors import WireError
from qemu_sim.inspect.tree import Tree
from qemu_sim.wire import vmfile


def main(arguments: Sequence[str]) -> int:
    """Print the stream that is in a file; returns the exit status."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: qemu-sim inspect FILE\n")
        return 2
    try:
        with _content(arguments[0]) as data:
            _print(data)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a pager that was left
        return 1
    except OSError as error:
        return _fail(f"Could not open '{arguments[0]}': {error.strerror}")
    except WireError as error:
        return _fail(str(error))
    return 0


def _fail(text: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"qemu-sim inspect: {text}\n")
    return 1


@contextlib.contextmanager
def _content(path: str) -> Iterator[bytes | mmap.mmap]:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:  # a pipe, or nothing at all
            yield file.read()
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _print(data: bytes | mmap.mmap) -> None:
    tree = Tree()
    for offset, item in vmfile.read(data):
        sys.stdout.writelines(f"{line}\n" for line in tree.lines(offset, item))
    sys.stdout.writelines(f"{line}\n" for line in tree.summary())
    sys.stdout.flush()
