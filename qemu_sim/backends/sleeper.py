"""A thread that does nothing: clients look for a CPU's or an iothread's thread and find it.

QEMU: system/cpus.c (qemu_thread_create), iothread.c

libvirt reads /proc/PID/task/TID and pins each thread, so every ID is a thread of its own.
"""

from __future__ import annotations

from threading import Event, Thread

_PR_SET_NAME = 15  # Linux include/uapi/linux/prctl.h


class Sleeper:
    """One thread of this process, asleep until `close`."""

    def __init__(self, name: str | None = None) -> None:
        """Start the thread; `name` is what the kernel shows, the process's if None."""
        self._end = Event()
        self._thread = Thread(target=self._sleep, args=(name,), daemon=True)
        self._thread.start()

    @property
    def thread_id(self) -> int:
        """The kernel's ID of the thread."""
        id = self._thread.native_id
        assert id is not None, "started"
        return id

    def close(self) -> None:
        """End the thread and wait for that; nothing happens the second time."""
        self._end.set()
        self._thread.join()

    def _sleep(self, name: str | None) -> None:
        if name is not None:
            import ctypes  # noqa: PLC0415 - only with -name debug-threads=on

            ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())
        self._end.wait()
