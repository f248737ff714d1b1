"""Real photographs by name: out of Debian packages, unpacked but never installed, or from any folder.

python -m benchmarks.photographs            fetches about 230 MB into benchmarks/corpus and lists what came
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

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
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        sys.exit(
            "photographs: fetching needs Debian's apt-get and dpkg; "
            "elsewhere set PRESCAN_PHOTOGRAPHS to a folder of JPEGs"
        )
    for name in PACKAGES:
        target = CORPUS / name
        if target.is_dir():
            continue
        partial = CORPUS / f".{name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        print(f"fetching {name} ({PACKAGES[name]})", file=sys.stderr)
        try:
            subprocess.run(["apt-get", "download", "-q", name], cwd=partial, check=True, stdout=subprocess.DEVNULL)
            (archive,) = partial.glob("*.deb")
            subprocess.run(["dpkg", "-x", archive.name, "."], cwd=partial, check=True)
        except (subprocess.CalledProcessError, ValueError):
            sys.exit(f"photographs: {name} can't be fetched; run apt-get update and try again")
        archive.unlink()
        partial.rename(target)


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
