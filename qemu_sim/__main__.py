"""The program `qemu-sim`, which is `python -m qemu_sim`, too."""

import gc
import sys


def main(argv: list[str] | None = None) -> int:
    """Run the program called as `argv`, the process's own by default; return its status."""
    gc.disable()  # nothing of what a start makes is garbage; `cli` enables it again
    from qemu_sim.cli import main  # noqa: PLC0415 - see above

    return main(argv)


if __name__ == "__main__":
    sys.exit(main(["qemu-sim", *sys.argv[1:]]))
