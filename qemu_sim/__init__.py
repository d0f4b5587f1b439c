"""A QMP-speaking mock QEMU whose descriptors are real."""

__version__ = "0.1.0"
