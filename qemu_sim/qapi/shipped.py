"""Where the files of the top-level folder `schemas` are.

The package has a link to it, which a checkout follows and an installation fills.
"""

from __future__ import annotations

import os

DIRECTORY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "schemas")
