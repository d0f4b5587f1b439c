"""Replay what real QEMUs answered, and say where qemu-sim differs: `python tests/compare`.

Exit status 1 when a case differs that known.toml does not list, or one that it lists does not.
"""

# ruff: noqa: T201 - the table is what it is for

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys
import tomllib
from concurrent.futures import ProcessPoolExecutor

import recorded
from replay import Replay

_KNOWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "known.toml")
_AT_ONCE = 6  # cases of one profile: most of the time they wait for what must not come
Found = dict[str, str | None]  # a case's name to its difference


def main() -> int:
    """Replay, print, return the exit status."""
    options = _options()
    with open(_KNOWN, "rb") as file:
        known = tomllib.load(file)
    places = {
        profile: [options.cases] if options.cases else recorded.files(version)
        for profile, version in recorded.VERSIONS.items()
        if options.profile in (None, profile)
    }
    with ProcessPoolExecutor(len(places)) as pool:
        jobs = {
            profile: pool.submit(replay_all, paths, profile, options.emulator, options.case)
            for profile, paths in places.items()
        }
    wrong = 0
    for profile, job in jobs.items():
        listed = {} if options.emulator else known.get(profile, {})
        wrong += _report(profile, recorded.load(places[profile]), job.result(), listed)
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/compare", description=__doc__)
    parser.add_argument("--profile", choices=recorded.VERSIONS, help="only this QEMU's cases")
    parser.add_argument("--case", help="only cases with this in their name")
    parser.add_argument("--cases", metavar="FILE", help="another recording than tests/data/…")
    parser.add_argument(
        "--emulator", help="a command to try instead of qemu-sim, as real QEMUs, to try the cases"
    )
    return parser.parse_args()


def replay_all(paths: list[str], profile: str, emulator: str | None, part: str | None) -> Found:
    """Replay recordings with one profile."""
    cases = [case for case in recorded.load(paths) if part is None or part in case.name]
    settings = ["-sim", f"profile={profile},extensions=off"]
    inside = None if emulator else settings
    program = shlex.split(emulator) if emulator else [sys.executable, "-m", "qemu_sim", *settings]

    async def replay() -> Found:
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(case: recorded.Case) -> str | None:
            async with free:
                return await Replay(case, program, inside).run()

        differences = await asyncio.gather(*map(one, cases))
        return dict(zip((case.name for case in cases), differences, strict=True))

    return asyncio.run(replay())


def _report(profile: str, cases: list[recorded.Case], found: Found, known: dict[str, str]) -> int:
    """Print one profile's table and differences; return how many cases are not as listed."""
    groups: dict[str, list[int]] = {}
    for case in cases:
        if case.name in found:
            counts = groups.setdefault(case.group, [0, 0])
            counts[found[case.name] is not None] += 1
    print(f"\nQEMU {recorded.VERSIONS[profile]}     same  differ")
    for group, (same, differ) in groups.items():
        print(f"  {group:14} {same:5} {differ or '-':>6}")
    total = sum(same for same, _ in groups.values())
    print(f"  {'all':14} {total:5} {len(found) - total:6}  ({100 * total / len(found):.1f} % same)")
    return sum(_tell(name, text, known.get(name)) for name, text in found.items())


def _tell(name: str, difference: str | None, reason: str | None) -> bool:
    """Print what there is to say about one case; whether it is not as listed."""
    if difference is not None and reason is not None:
        print(f"  known  {name}: {reason}")
    elif difference is not None:
        print(f"  WRONG  {name}: {difference}")
    elif reason is not None:
        print(f"  WRONG  {name}: is the same now, but known.toml lists it: take it out there")
    return (difference is None) != (reason is None)


if __name__ == "__main__":
    sys.exit(main())
