"""Real photographs by name: out of Debian packages, unpacked but never installed, or from any folder.

python -m benchmarks.photographs            fetches about 230 MB into benchmarks/corpus and lists what came
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from types import MappingProxyType

from benchmarks import debs
from scanner.errors import StorageError

CORPUS = Path(__file__).parent / "corpus"
PACKAGES = MappingProxyType(
    {
        "opencv-doc": "Apache-2.0 and BSD-3-Clause",
        "lomiri-wallpapers-16.04": "CC-BY-SA-3.0",
        "mate-backgrounds": "GPL-2+ and CC-BY-SA-4.0",
        "plasma-workspace-wallpapers": "LGPL-3 and CC-BY-SA-4.0",
    }
)
"""Package to licence, as its copyright file gives it."""

SUFFIXES = frozenset({".jpg", ".jpeg"})
SMALLEST_FILE = 8 * 1024


def fetch() -> None:
    """Download and unpack each package that is not there yet."""
    try:
        for name in PACKAGES:
            if not (CORPUS / name).is_dir():
                debs.require_apt()
                print(f"fetching {name} ({PACKAGES[name]})", file=sys.stderr)
                debs.fetch(name, CORPUS)
    except StorageError as error:
        sys.exit(f"photographs: {error}; PRESCAN_PHOTOGRAPHS may name a folder of JPEGs instead")


def photographs() -> list[Path]:
    """Distinct JPEGs over 8 KiB, in order of path: from ``PRESCAN_PHOTOGRAPHS`` if set, else from the packages."""
    folder = os.environ.get("PRESCAN_PHOTOGRAPHS")
    if folder is None:
        fetch()
    distinct: dict[bytes, Path] = {}
    for place, _, names in os.walk(folder or CORPUS, followlinks=True):
        for path in (Path(place, name) for name in names):
            if path.suffix.lower() in SUFFIXES and path.is_file() and path.stat().st_size > SMALLEST_FILE:
                digest = hashlib.sha256(path.read_bytes()).digest()
                distinct[digest] = min(path, distinct.get(digest, path))
    if not distinct:
        sys.exit(f"photographs: no JPEG over {SMALLEST_FILE} bytes in {folder or CORPUS}")
    return sorted(distinct.values())


if __name__ == "__main__":
    for photograph in photographs():
        print(photograph)
