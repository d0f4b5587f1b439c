"""The qtest protocol: a test program that stands where the guest's CPU would be.

QEMU: system/qtest.c, docs/devel/testing/qtest.rst
"""
