"""Synthetic lists and queries for the search benchmark; nothing in them stems from a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BITS = 256
RADIUS = 31
QUERIES = 1000

Codes = npt.NDArray[np.uint8]


def uniform(size: int, random: np.random.Generator) -> tuple[Codes, Codes]:
    """Random codes; half of the queries are up to 31 bits from an entry, half are random."""
    codes = random.integers(0, 256, (size, BITS // 8), np.uint8)
    return codes, queries_of(codes, random)


def structured(size: int, random: np.random.Generator) -> tuple[Codes, Codes]:
    """What lists are like: a quarter near-copies in clusters, a quarter near-flat, the rest random."""
    codes = random.integers(0, 256, (size, BITS // 8), np.uint8)
    near = size // 4
    cluster = random.integers(0, max(1, size // 10_000), near)
    codes[:near] = codes[-1 - cluster] ^ flips(near, 12, random)
    flat = slice(near, 2 * near)
    codes[flat] = np.tile(np.array([0xFF, 0x00], np.uint8), BITS // 16) ^ flips(near, 60, random)
    return codes, queries_of(codes, random)


def flips(count: int, most: int, random: np.random.Generator) -> Codes:
    """Masks of up to so many bits each."""
    chance = random.integers(0, most + 1, (count, 1)) / BITS
    return np.packbits(random.random((count, BITS)) < chance, axis=1)


def queries_of(codes: Codes, random: np.random.Generator) -> Codes:
    """Half up to 31 bits from an entry, half random, mixed."""
    queries = random.integers(0, 256, (QUERIES, BITS // 8), np.uint8)
    known = random.choice(len(codes), QUERIES // 2)
    for place, entry in enumerate(known):
        flipped = np.zeros(BITS, np.uint8)
        flipped[random.choice(BITS, random.integers(0, RADIUS + 1), replace=False)] = 1
        queries[place] = codes[entry] ^ np.packbits(flipped)
    return queries[random.permutation(QUERIES)]
