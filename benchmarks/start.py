"""From process start to the first verdict, with and without compiled kernels in the cache; and ``import scanner``.

python -m benchmarks.start
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measure import machine, store
from scanner import HashSetBuilder, hash_pixels
from scanner.hashset import Entry

ROUNDS = 7
COLD_ROUNDS = 3
FIRST_VERDICT = (
    "import sys; from scanner import HashSet, Scanner; "
    "print(Scanner(HashSet.open(sys.argv[1])).scan(sys.argv[2]).outcome)"
)
FIRST_QUERY = (
    "import sys; from scanner import HashSet, open_index; known = HashSet.open(sys.argv[1]); "
    "hits = open_index(known).search(known.codes[0].tobytes(), 31); print('match' if len(hits.indices) else 'nothing')"
)
LIST_SIZE = 100_000
IMPORT = "import time; t = time.perf_counter(); import scanner; print(time.perf_counter() - t)"


def main() -> None:
    """Measure, store, print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = _list_and_picture(folder)
        cold = [_seconds(FIRST_VERDICT, arguments, folder / f"cache{n}") for n in range(COLD_ROUNDS)]
        _seconds(FIRST_VERDICT, arguments, folder / "cache")
        warm = [_seconds(FIRST_VERDICT, arguments, folder / "cache") for _ in range(ROUNDS)]
        large = (_large_list(folder),)
        cold_query = [_seconds(FIRST_QUERY, large, folder / f"query{n}") for n in range(COLD_ROUNDS)]
        warm_query = [_seconds(FIRST_QUERY, large, folder / "query0") for _ in range(ROUNDS)]
        imports = [float(_output(IMPORT, (), folder / "cache")) for _ in range(ROUNDS)]
    raw = {
        "machine": machine("numba", "numpy", "pillow"),
        "cold": cold,
        "warm": warm,
        "import": imports,
        "cold_query": cold_query,
        "warm_query": warm_query,
    }
    stored = store("start", raw)
    print(f"import scanner: {1e3 * statistics.median(imports):.1f} ms")
    print(f"process start to first verdict: {statistics.median(cold):.2f} s with no kernel cache, ", end="")
    print(f"{statistics.median(warm):.2f} s with one")
    print(
        f"process start to first query of {LIST_SIZE:,}: {statistics.median(cold_query):.2f} s with no kernel cache, ",
        end="",
    )
    print(f"{statistics.median(warm_query):.2f} s with one")
    print(f"raw figures: {stored}", file=sys.stderr)


def _list_and_picture(folder: Path) -> tuple[str, str]:
    random = np.random.default_rng(1)
    pixels = np.asarray(Image.fromarray(random.integers(0, 256, (32, 48, 3), np.uint8)).resize((1536, 1024)))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    (folder / "picture.jpg").write_bytes(out.getvalue())
    builder = HashSetBuilder("one entry")
    builder.add(Entry(hash_pixels(pixels).hash))
    builder.write(folder / "known.prescan")
    return os.fspath(folder / "known.prescan"), os.fspath(folder / "picture.jpg")


def _large_list(folder: Path) -> str:
    codes = np.random.default_rng(1).integers(0, 256, (LIST_SIZE, 32), np.uint8)
    builder = HashSetBuilder("with tables")
    builder.add_codes(codes, np.arange(LIST_SIZE, dtype=np.uint64))
    builder.write(folder / "large.prescan")
    return os.fspath(folder / "large.prescan")


def _seconds(code: str, arguments: tuple[str, ...], cache: Path) -> float:
    started = time.perf_counter()
    outcome = _output(code, arguments, cache).strip()
    if outcome != "match":
        sys.exit(f"start: expected a match, got {outcome}")
    return time.perf_counter() - started


def _output(code: str, arguments: tuple[str, ...], cache: Path) -> str:
    environment = {**os.environ, "NUMBA_CACHE_DIR": os.fspath(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


if __name__ == "__main__":
    main()
