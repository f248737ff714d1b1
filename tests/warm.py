"""Compile the kernels before the tests, once for all their processes.

NUMBA_CACHE_DIR=FOLDER python -m tests.warm
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image


def search() -> None:
    """Every engine, one query and many, on 64 and 256 bits."""
    from tests.index.test_kernels import results

    results()


def rest() -> None:
    """Hashing pictures, solving, and counting pairs in tiles."""
    from scanner.hashing import hash_picture, pdq_dihedral
    from scanner.profiles import ALGORITHMS
    from scanner.vouchers.solving import solve
    from tests.accuracy.test_tiles import counted_in_tiles, some_codes
    from tests.conftest import encoded, find_photographs
    from tests.vouchers.test_sharing import shares_of
    from tests.vouchers.test_solving import dummies, real

    for name in ALGORITHMS:
        for path in find_photographs()[:6]:
            hash_picture(path, name)
    pdq_dihedral(np.zeros((90, 120, 3), np.uint8))
    for large in (Image.new("L", (4000, 3000)), Image.new("RGB", (4000, 3000))):
        hash_picture(encoded(large, "JPEG"))  # decoded at a part of its size
    window = shares_of(bytes(32), threshold=3)
    solve([*real(window, 5), *dummies(window, 12)], 3)
    for bits in (64, 256, 512):
        codes = some_codes(1, 40, bits)
        with tempfile.TemporaryDirectory() as folder:
            counted_in_tiles(codes, None, np.arange(40) % 9, None, bits, bits, Path(folder), 20, 20)


def main() -> int:
    """Do both at once."""
    if len(sys.argv) > 1:
        {"search": search, "rest": rest}[sys.argv[1]]()
        return 0
    parts = [subprocess.Popen([sys.executable, "-m", "tests.warm", part]) for part in ("search", "rest")]
    return max(part.wait() for part in parts)


if __name__ == "__main__":
    sys.exit(main())
