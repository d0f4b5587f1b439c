"""The channel that fits a descriptor which somebody else opened.

QEMU: io/channel-util.c (qio_channel_new_fd)
"""

from __future__ import annotations

import os
import select
import socket
import stat

from qemu_sim.fds import Fd
from qemu_sim.io.byte_channel import ByteChannel
from qemu_sim.io.channel import Channel
from qemu_sim.io.file import FileChannel
from qemu_sim.io.pipe import PipeChannel

AnyChannel = Channel | ByteChannel


def is_socket(fd: Fd) -> bool:
    """Whether it is a socket, connected or not."""
    return stat.S_ISSOCK(os.fstat(fd.fileno()).st_mode)


def is_pipe(fd: Fd) -> bool:
    """Whether it is a pipe or a FIFO."""
    return stat.S_ISFIFO(os.fstat(fd.fileno()).st_mode)


def reader_of(fd: Fd) -> AnyChannel:
    """Take ownership of `fd` and read from it; a socket can be written to as well."""
    if is_socket(fd):
        return Channel(socket.socket(fileno=fd.detach()))
    return PipeChannel(fd, None) if is_pollable(fd) else FileChannel(fd, None)


def writer_of(fd: Fd) -> AnyChannel:
    """Take ownership of `fd` and write to it; a socket can be read from as well."""
    if is_socket(fd):
        return Channel(socket.socket(fileno=fd.detach()))
    return PipeChannel(None, fd) if is_pollable(fd) else FileChannel(None, fd)


def is_pollable(fd: Fd) -> bool:
    """Whether the kernel tells when it can be read or written (epoll_ctl(2), EPERM)."""
    with select.epoll() as epoll:
        try:
            epoll.register(fd.fileno())
        except PermissionError:
            return False
    return True
