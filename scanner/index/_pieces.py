"""What the search kernels share: the form of hashes, of packed hits and of a table block, and small pieces of code.

Rows are packed u64, W words each. A hit is packed as row | distance << 48.
"""

from __future__ import annotations

import numpy as np

from scanner.index._intrinsics import SKETCHES, part, popcount, word
from scanner.index.hits import DISTANCE_SHIFT

CHUNK_BITS = 16
LARGEST_ALLOWANCE = 4  # a key may differ in 3 bits at the most; larger radii are scanned
PROBES = 704  # buckets looked up in one round, at least the 697 keys of at most 3 bits among 16
STACKED = 1024  # hits that fit on the stack
CANDIDATES = 1024  # places whose candidates are checked at once
FREE_CANDIDATES = 2048  # candidates checked beyond one in sixteen rows before a scan is thought cheaper
FULL = -1  # a search stops: more hits than there is room for
CROWDED = -2  # a search gives up: looking at every row is cheaper

# Positions in a table block's header, eight int64.
COUNT, WORDS, KEY_BITS, KIND, AT_OFFSETS, AT_SKETCHES, AT_IDS, BYTES = range(8)
HEADER_BYTES = 64  # the masks follow at once

ONE_WORD = (np.uint64(0),)
FOUR_WORDS = (np.uint64(0),) * 4  # their types tell the kernels how long a hash is

_1 = np.uint64(1)


@part
def id_bytes(count):
    """Bytes of an entry's number in tables of so many entries."""
    return 3 if count <= 1 << 24 else 4


@part
def masks_below(bits, weight):
    """How many keys of so many bits have fewer than weight ones, for weight up to 4."""
    if weight <= 0:
        return 0
    if weight == 1:
        return 1
    if weight == 2:
        return 1 + bits
    if weight == 3:
        return 1 + bits + bits * (bits - 1) // 2
    return 1 + bits + bits * (bits - 1) // 2 + bits * (bits - 1) * (bits - 2) // 6


@part
def too_many(checked, tables, of, count):
    """Whether so many candidates in the first tables of all let expect more of them than a scan is worth."""
    return checked * of > (tables + 1) * (FREE_CANDIDATES + (count >> 4))


@part
def most_checked(count):
    """More candidates than are ever checked in one search, whatever is in the tables."""
    return FREE_CANDIDATES + (count >> 4) + CANDIDATES * (SKETCHES + 1)


@part
def allowance(radius, chunks, chunk):
    """The chunk's share of radius + 1; the first chunks take what does not divide."""
    share = (radius + 1) // chunks
    return share + np.int64(chunk < (radius + 1) - share * chunks)


@part
def chunk_of(words, at, chunk):
    """Sixteen bits of the hash whose first word is words[at]."""
    return np.int64((word(words, at + (chunk >> 2)) >> np.uint64((chunk & 3) << 4)) & np.uint64(0xFFFF))


@part
def mask_of_first(count):
    """The lowest count bits of at most 32."""
    return (_1 << np.uint64(min(count, SKETCHES))) - _1


@part
def packed(row, distance):
    """A hit in one word."""
    return np.uint64(row) | (np.uint64(distance) << np.uint64(DISTANCE_SHIFT))


@part
def distance(query, rows, row):
    """Bits in which a query, a tuple of words, differs from a row."""
    total = np.int64(0)
    for w in range(len(query)):
        total += popcount(query[w] ^ word(rows, row * len(query) + w))
    return total
