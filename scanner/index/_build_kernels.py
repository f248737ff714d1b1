"""Compiled building of a table block: buckets by counting sort, one chunk at a time."""

from __future__ import annotations

import numpy as np

from scanner.index._intrinsics import compiled, part, pointer
from scanner.index._pieces import CHUNK_BITS, chunk_of, id_bytes


@part
def write_id(ids, place, row, size):
    """Write an entry's number, little-endian, in 3 or 4 bytes."""
    at = size * place
    ids[at] = row & 0xFF
    ids[at + 1] = (row >> 8) & 0xFF
    ids[at + 2] = (row >> 16) & 0xFF
    if size == 4:
        ids[at + 3] = row >> 24


@compiled
def build_chunk_into(rows, count, words, chunk, bits, offsets, sketches, ids):
    """Fill one chunk's part of the tables of a block.

    rows (count * words * 8,) u8; offsets (chunks * 2^bits + 1,) u32; sketches (chunks * count + padding,)
    u16; ids u8, as many bytes each as id_bytes says. The last offset is the caller's to write.
    """
    base = pointer(rows, 0, np.uint64)
    buckets = 1 << bits
    unread = CHUNK_BITS - bits
    following = (chunk + 1) & (4 * words - 1)
    places = np.zeros(buckets + 1, np.int64)
    for row in range(count):
        places[(chunk_of(base, row * words, chunk) >> unread) + 1] += 1
    for bucket in range(buckets):
        places[bucket + 1] += places[bucket]
    for bucket in range(buckets):
        places[bucket] += chunk * count
        offsets[chunk * buckets + bucket] = places[bucket]
    for row in range(count):
        value = chunk_of(base, row * words, chunk)
        place = places[value >> unread]
        places[value >> unread] = place + 1
        write_id(ids, place, row, id_bytes(count))
        sketches[place] = ((value << bits) & 0xFFFF) | (chunk_of(base, row * words, following) >> unread)
