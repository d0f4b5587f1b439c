"""Each dialect does in each scenario what the README's table says."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(HERE, "..", "..", "README.md")
LIMIT = 600  # seconds
FIRST, LAST = "<!-- make dialects -->\n", "\n<!-- end -->"


def test_the_readme_has_the_table_that_comes_out(netns, environment):
    """Eighty-four attempts to migrate, with real processes and TAPs."""
    done = subprocess.run(
        [sys.executable, HERE],
        capture_output=True,
        text=True,
        env=environment,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with open(README, encoding="utf-8") as file:
        shown = file.read().partition(FIRST)[2].partition(LAST)[0]
    assert done.stdout.strip().splitlines() == shown.strip().splitlines()
