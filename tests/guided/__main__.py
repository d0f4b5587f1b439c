"""Input that finds its own way into the code: `make fuzz` runs each target for a while.

atheris counts which branches an input takes, and keeps and changes those that take new
ones. A target fails on any exception that its promise does not name, on a hang, and where
memory grows beyond a bound. What broke one is left in the working directory.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile

import targets

_ROUND = 30  # seconds a target
_MEMORY = 1024  # MiB
_SLOW = 10  # seconds that one input may take


def main() -> int:
    parser = argparse.ArgumentParser(prog="guided", description=__doc__.partition("\n")[0])
    parser.add_argument("names", metavar="TARGET", nargs="*", help=", ".join(targets.TARGETS))
    parser.add_argument("--seconds", type=int, default=_ROUND, help="for each")
    parser.add_argument("--alone", help=argparse.SUPPRESS)  # in a process of its own
    given, rest = parser.parse_known_args()
    if importlib.util.find_spec("atheris") is None:
        _say("not fuzzed by coverage: atheris is not installed here")
        return 0
    if given.alone:
        return _fuzz(given.alone, rest)
    failed = [name for name in given.names or targets.TARGETS if not _run(name, given.seconds)]
    if failed:
        _say(f"failed: {', '.join(failed)}")
    return bool(failed)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(name: str, seconds: int) -> bool:
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(targets.TARGETS[name].seeds()):
            with open(os.path.join(corpus, str(number)), "wb") as file:
                file.write(seed)
        limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={_MEMORY}", f"-timeout={_SLOW}"]
        command = [sys.executable, __file__, "--alone", name, *limits, "-verbosity=0", corpus]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    _say(f"{name}: {'nothing found' if done.returncode == 0 else done.stderr[-3000:]}")
    return done.returncode == 0


def _fuzz(name: str, rest: list[str]) -> int:
    import atheris

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *rest], targets.TARGETS[name].run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
