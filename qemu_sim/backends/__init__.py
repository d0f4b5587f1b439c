"""Owners of host descriptors. A file's name is the QMP name of what it holds."""
