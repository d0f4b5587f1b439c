"""`python -m qemu_sim` is the program `qemu-sim`."""

import sys

from qemu_sim.cli import main

if __name__ == "__main__":
    sys.exit(main(["qemu-sim", *sys.argv[1:]]))
