"""The block of tables the ``multi`` engine searches: built once, kept in the hash-set file, searched where it lies.

Layout, little-endian, each part at a multiple of 64 bytes::

    header     eight i64: entries n, words a hash W, key bits p, the offsets of the four parts below, the length
    masks      u16: the keys of at most three bits among p, lightest first; what a query's key is combined with
    offsets    u32, C 2^p + 1: where each bucket of each of the C = 4 W chunks begins in the two tables below
    sketches   u16, C n and 64 of padding: what a chunk has beyond its key, and the top p bits of the next chunk
    ids        u32, C n and 64 of padding: the entry

A bucket holds about 16 entries. A block takes 96 bytes an entry at 256 bits, and 4 to 8 for the offsets.
"""

from __future__ import annotations

import sys

import numpy as np

from scanner.errors import HashShapeError
from scanner.index import _build_kernels as build_kernels
from scanner.index import _kernels as kernels
from scanner.index.hits import Codes, checked_codes

ENTRIES_A_BUCKET = 16
FEWEST_KEY_BITS = 4
LARGEST_COUNT = 1 << 28
"""Entries; so that positions in the tables fit 32 bits."""


def key_bits_for(count: int) -> int:
    """The key length at which a bucket holds about 16 entries, 4 to 16 bits."""
    wanted = max(1, -(-count // ENTRIES_A_BUCKET))
    return min(max((wanted - 1).bit_length(), FEWEST_KEY_BITS), kernels.CHUNK_BITS)


def header_for(count: int, bits: int, key_bits: int) -> bytes:
    """The header a block for so many entries must have; it fixes where everything lies."""
    words = bits // 64
    chunks = 4 * words
    masks = kernels.HEADER_BYTES
    offsets = _aligned(masks + 2 * kernels.PROBES)
    sketches = _aligned(offsets + 4 * ((chunks << key_bits) + 2))
    ids = _aligned(sketches + 2 * (chunks * count + kernels.PADDING))
    end = _aligned(ids + 4 * (chunks * count + kernels.PADDING))
    return np.array([count, words, key_bits, masks, offsets, sketches, ids, end], "<i8").tobytes()


def build_tables(codes: Codes) -> Codes:
    """Build the block for a set of codes.

    Args:
        codes: packed hashes; shape ``(n, 8)`` or ``(n, 32)``, uint8; ``n`` up to 2^28.

    Returns:
        the block; shape ``(length,)``, uint8.

    Raises:
        HashShapeError: another shape or dtype, or too many entries.
    """
    codes = checked_codes(codes)
    count, code_bytes = codes.shape
    if count > LARGEST_COUNT:
        raise HashShapeError(f"tables hold at most {LARGEST_COUNT:,} entries, not {count:,}; split the set")
    words = code_bytes // 8
    bits = key_bits_for(count)
    header = header_for(count, 8 * code_bytes, bits)
    _, _, _, at_masks, at_offsets, at_sketches, at_ids, end = np.frombuffer(header, "<i8").tolist()
    block = np.zeros(end, np.uint8)
    block[: len(header)] = np.frombuffer(header, np.uint8)
    masks = sorted((mask for mask in range(1 << bits) if mask.bit_count() <= 3), key=lambda m: (m.bit_count(), m))
    block[at_masks : at_masks + 2 * len(masks)].view(np.uint16)[:] = masks
    offsets = block[at_offsets : at_offsets + 4 * ((4 * words << bits) + 1)].view(np.uint32)
    sketches = block[at_sketches : at_sketches + 2 * (4 * words * count)].view(np.uint16)
    ids = block[at_ids : at_ids + 4 * (4 * words * count)].view(np.uint32)
    for chunk in range(4 * words):
        build_kernels.build_chunk_into(codes.reshape(-1), count, words, chunk, bits, offsets, sketches, ids)
    offsets[-1] = 4 * words * count
    return block


def check_tables(block: Codes, count: int, bits: int) -> None:
    """Raise HashShapeError unless a block's header is the one for these codes, so that nothing lies outside it."""
    header = block[: kernels.HEADER_BYTES].tobytes()
    if len(header) < kernels.HEADER_BYTES:
        raise HashShapeError("the search tables are cut")
    key_bits = int(np.frombuffer(header, "<i8")[kernels.KEY_BITS])
    if not FEWEST_KEY_BITS <= key_bits <= kernels.CHUNK_BITS or header != header_for(count, bits, key_bits):
        raise HashShapeError("the search tables are not those of the codes")
    if len(block) != int(np.frombuffer(header, "<i8")[kernels.BYTES]):
        raise HashShapeError("the search tables are cut")
    if sys.byteorder != "little":
        raise HashShapeError("the search tables are little-endian and this processor is not; use the engine 'faiss'")


def _aligned(offset: int) -> int:
    return offset + -offset % 64
