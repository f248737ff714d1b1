"""What every test may ask for: real photographs, a small hash set, and encoders."""

from __future__ import annotations

import functools
import importlib.util
import io
import os
import ssl
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import greenlet
import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from scanner.hashset import Entry, HashSet, HashSetBuilder
from scanner.types import PerceptualHash
from tests.traced.sitecustomize import FOLDER

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before faiss is loaded: its threads spin while they wait

# A thread that used SQLAlchemy's asyncio and ended has greenlet look through every object for references to it, here as
# often as a service was run in a thread: minutes of a whole run, in which no signal is heard.
greenlet._greenlet.enable_optional_cleanup(False)

# Each client reads the list of certificate authorities, in 20 ms, and asks it nothing: all that is met is on loopback.
_create = ssl.create_default_context
_usual = functools.cache(lambda: _create(cafile=certifi.where()))


def _create_or_share(*arguments: Any, **options: Any) -> ssl.SSLContext:
    usual = not arguments and options == {"cafile": certifi.where()}
    return _usual() if usual else _create(*arguments, **options)


ssl.create_default_context = _create_or_share

settings.register_profile("prescan", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("prescan")

DRAWN = frozenset(
    {"chessboard_GRAY.png", "chessboard_RGB.png", "horse.png", "logo.png", "microaneurysms.png", "phantom.png"}
)
"""Bundled pictures that are no photographs."""


def find_photographs() -> list[Path]:
    """Real photographs bundled in scikit-image and scikit-learn, in order of their names."""
    found: list[Path] = []
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        for place in importlib.util.find_spec(package).submodule_search_locations:
            found += [path for path in Path(place, folder).iterdir() if path.suffix in {".png", ".jpg"}]
    return sorted((path for path in found if path.name not in DRAWN), key=lambda path: path.name)


LINES: dict[str, str] = {}
"""What makes a process note its lines (tests/traced)."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep it from most processes that tests begin: a service would take half as long again to start."""
    if hasattr(config, "workerinput") and FOLDER in os.environ:
        LINES[FOLDER] = os.environ.pop(FOLDER)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``photograph`` once for each."""
    if "photograph" in metafunc.fixturenames:
        metafunc.parametrize("photograph", find_photographs(), ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """Every bundled photograph."""
    return find_photographs()


@pytest.fixture(scope="session")
def astronaut(photographs) -> Path:
    """One well-known photograph, 512 x 512 RGB."""
    return next(path for path in photographs if path.name == "astronaut.png")


def pdq_hash(seed: int) -> PerceptualHash:
    """A PDQ hash, another one for each seed."""
    return PerceptualHash("pdq", np.random.default_rng(seed).bytes(32))


@pytest.fixture
def small_path(tmp_path) -> Path:
    """The file of a hash set of three entries in two clusters."""
    builder = HashSetBuilder("small", epoch=7)
    builder.add_all(
        [Entry(pdq_hash(1), "one", 5), Entry(pdq_hash(2), "two", 5), Entry(pdq_hash(3), "three", 2**64 - 1)]
    )
    path = tmp_path / "small.prescan"
    builder.write(path)
    return path


@pytest.fixture
def small_set(small_path) -> Iterator[HashSet]:
    """The hash set of three entries, open."""
    with HashSet.open(small_path) as known:
        yield known


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file of a kind."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def smooth(height: int, width: int) -> np.ndarray:
    """An RGB picture, uint8 (height, width, 3), smooth enough for lossy formats and equal to no turn of itself."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = (40 + 150 * x, 60 + 120 * y, 90 + 60 * x * y + 40 * x)
    return np.stack(planes, 2).astype(np.uint8)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, **chunks: bytes) -> bytes:
    """A PNG from scratch: colour 0 grey, 2 RGB, 3 palette, 6 RGBA; rows as stored, each after its filter byte."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    extra = b"".join(chunk(kind.encode(), data) for kind, data in chunks.items())
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    )


def run_python(script: str, **environment: str) -> str:
    """Run a script in another interpreter from the project's folder, whose lines count; gives what it printed."""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **LINES, **environment},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(autouse=True)
def ordinary_priority() -> Iterator[None]:
    """No test leaves the process at a real-time priority, in which what it starts would keep everyone else waiting."""
    yield
    if hasattr(os, "sched_getscheduler"):
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
