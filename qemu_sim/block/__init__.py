"""The block graph: nodes by name, and the drives that use them. No guest does I/O on it.

QEMU: block.c, blockdev.c, block/
"""
