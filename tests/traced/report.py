"""Say which lines of scanner/ no process of the tests ran, and fail if they are too many.

python -m tests.traced.report FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import slipcover

from tests.traced.sitecustomize import SCANNER

LEAST = 95.0
"""Per cent of the lines that have to be run."""

LEFT_OUT = ["@overload", r"^\s*\.\.\.$"]
"""Lines that say something and do nothing, besides SlipCover's own: ``TYPE_CHECKING`` and ``pragma: no cover``."""


def main(folder: Path) -> int:
    """Print the table; gives the exit code."""
    every = slipcover.Slipcover(source=[str(SCANNER)], exclude_also=LEFT_OUT)
    for path in folder.glob("*.json"):
        for name, lines in json.loads(path.read_bytes()).items():
            every.all_seen[name].update(lines)
    found = every.get_coverage()
    slipcover.print_coverage(found, outfile=sys.stdout, skip_covered=True)
    summary = found["summary"]
    covered, missing = summary["covered_lines"], summary["missing_lines"]
    percent = 100 * covered / (covered + missing)
    sys.stdout.write(
        f"{missing:,} of {covered + missing:,} lines not run: {percent:.1f} % are, {LEAST:g} % have to be\n"
    )
    return 0 if percent >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
