"""A QMP-speaking mock QEMU whose descriptors are real."""
