"""A small corpus of drawn pictures, for tests of what is made of measurements."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.accuracy.corpora import folder_corpus
from benchmarks.accuracy.manifest import Manifest
from benchmarks.accuracy.measuring import measure
from benchmarks.accuracy.measuring import threads as in_threads
from benchmarks.accuracy.raw import Plan, Raw

RUNGS = ("jpeg-q50", "crop-all-5", "blur-0.5", "messenger-1600-q75", "rotate-90")
ABOUT = {
    "machine": {"processor": "a drawn one", "cores": 2, "system": "Linux", "python": "3", "versions": {"numpy": "2"}},
    "command": ["python", "-m", "benchmarks.accuracy", "run"],
    "purge": {"groups": 1, "purged": 2, "confirmed": 3, "proposed": 4},
    "left_out": {"damaged": 1},
}


def draw_pictures(folder: Path, count: int, seed: int = 0, size: int = 96) -> None:
    """Draw pictures of smooth shapes with a little noise; every seventh is a plain slope of little quality."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    slope = np.mgrid[:size, :size].sum(axis=0) // 24
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8))
        pixels = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)).astype(int)
        pixels += rng.integers(-4, 5, (size, size, 1))
        if number % 7 == 0:
            pixels = slope[..., None] + rng.integers(0, 200, 3)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:04}.png")


def manifest_of(folder: Path) -> Manifest:
    """List drawn pictures."""
    return folder_corpus(folder, licence="drawn", source="drawn").manifest


def measured(base: Path, count: int = 60, sources: int = 12, seed: int = 0, **plan: object) -> Raw:
    """Draw, list and measure, in this process."""
    draw_pictures(base / "pictures", count, seed)
    settled = {"hashes": ("pdq", "pdq-512", "dhash-64"), "rungs": RUNGS, "sources": sources, **plan}
    return measure(
        manifest_of(base / "pictures"),
        base / "pictures",
        base / "run",
        Plan(**settled),  # type: ignore[arg-type]
        ABOUT,
        clock=time.perf_counter,
        pools=in_threads,
    )
