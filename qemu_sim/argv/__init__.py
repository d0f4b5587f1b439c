"""QEMU's command line: what is known, what it means here, and what it does not.

`parse` reads the arguments; see `table` for the options. No module here imports anything
that costs start-up time.
"""
