"""Python reads this as a process of the tests starts, which then notes the lines of scanner/ that it runs.

SlipCover puts probes into a module's code as it is imported. coverage.py's tracer, called for every function of every
library, takes 1.8 times the tests' time where this takes 1.1.

Kernels are left alone unless they run without their compiler, which would find the probes in them.
"""

from __future__ import annotations

import atexit
import json
import os
import uuid
from importlib.util import find_spec
from pathlib import Path

FOLDER = "PRESCAN_LINES"
"""Variable that names the folder a process leaves its lines in as it ends."""

SCANNER = Path(__file__).parents[2] / "scanner"
COMPILED = ("*/scanner/*/_[a-z]*.py",)
NEVER = 10**9
"""Times that a probe may be met in vain before SlipCover takes those out that are done. It would look through every
function for them, while others run: probes that stay cost less.
"""


def note_lines(folder: Path) -> None:
    """Note lines from now on; they are written when the process ends, unless it is killed."""
    import slipcover

    compiled = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"
    noted = slipcover.Slipcover(exclude_lines=[], d_miss_threshold=NEVER)
    matcher = slipcover.FileMatcher(sources=[str(SCANNER)], omit=COMPILED if compiled else ())
    slipcover.wrap_spec_from_file_location(noted, matcher)
    slipcover.ImportManager(noted, matcher).__enter__()

    def write() -> None:
        text = json.dumps({name: sorted(seen) for name, seen in noted.newly_seen.items()})
        (folder / f"{os.getpid()}-{uuid.uuid4().hex}.json").write_text(text)

    atexit.register(write)


if FOLDER in os.environ and find_spec("slipcover"):  # processes of other virtualenvs, as Synapse's, have none
    note_lines(Path(os.environ[FOLDER]))
