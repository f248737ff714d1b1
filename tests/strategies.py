"""Hypothesis strategies for what the stages take."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scanner.hashset import Entry
from scanner.types import PerceptualHash


def codes(size: int) -> st.SearchStrategy[bytes]:
    """Hashes of size bytes."""
    return st.binary(min_size=size, max_size=size)


def near(code: bytes) -> st.SearchStrategy[bytes]:
    """Hashes that differ from a hash in a few bits."""
    flips = st.sets(st.integers(0, 8 * len(code) - 1), max_size=8)
    return flips.map(lambda positions: flipped(code, positions))


def flipped(code: bytes, positions: set[int]) -> bytes:
    """A hash with some of its bits turned."""
    mask = sum(1 << position for position in positions)
    return (int.from_bytes(code) ^ mask).to_bytes(len(code))


@st.composite
def banks(draw: st.DrawFn, size: int, most: int = 40) -> np.ndarray:
    """Codes (n, size) uint8, some of them equal and some of them close to each other; n may be 0."""
    rows: list[bytes] = []
    for _ in range(draw(st.integers(0, most))):
        choices = [codes(size)]
        if rows:
            choices += [st.sampled_from(rows), st.sampled_from(rows).flatmap(near)]
        rows.append(draw(st.one_of(choices)))
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), size)


pdq_hashes = codes(32).map(lambda data: PerceptualHash("pdq", data))

entries = st.builds(
    Entry,
    pdq_hashes,
    st.text(max_size=12),
    st.one_of(st.none(), st.integers(0, 2**64 - 1)),
    st.one_of(st.none(), st.integers(50, 100)),
)


def pixels(smallest: int = 1, largest: int = 24) -> st.SearchStrategy[np.ndarray]:
    """Small pictures, uint8, grey (H, W) or RGB (H, W, 3)."""
    side = st.integers(smallest, largest)
    shapes = st.one_of(st.tuples(side, side), st.tuples(side, side, st.just(3)))
    seeds = st.integers(0, 2**32 - 1)
    drawn = shapes.flatmap(lambda shape: hnp.arrays(np.uint8, shape))
    noise = st.builds(lambda shape, seed: np.random.default_rng(seed).integers(0, 256, shape, np.uint8), shapes, seeds)
    return st.one_of(drawn, noise)
