"""The blocks of tables that the ``multi`` and ``compact`` engines search: built once, kept in the hash-set file,
searched where they lie.

Layout, little-endian, each part at a multiple of 64 bytes::

    header     eight i64: entries n, words a hash W, key bits p, kind, the offsets of the last three parts, the length
    masks      u16: the keys of at most three bits among p, lightest first; what a query's key is combined with
    offsets    u32, T 2^p + 1: where each bucket of each of T tables begins in the two parts below
    sketches   T n and 64 of padding: what a table's piece of the hash has beyond the key
    ids        T n and 64 of padding: the entry

======== ==== ============================== ============================= ============ =================
kind     no.  a table for each               sketch                        ids          bytes an entry
======== ==== ============================== ============================= ============ =================
multi    0    16-bit chunk: T = 4 W          u16, with the next chunk's    3 or 4 bytes 80 or 96 (W = 4)
compact  1    32-bit pair: T = 8 (W = 4)     u8                            3 or 4 bytes 32 or 40
======== ==== ============================== ============================= ============ =================

Ids have 3 bytes up to 2^24 entries and 4 above, little-endian.

A bucket holds 12 to 25 entries up to a million and a half of them, so that one comparison of 32 sketches mostly does;
then keys are as long as they get.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanner.errors import HashShapeError
from scanner.index.hits import Codes, checked_codes

ENTRIES_A_BUCKET = 25
FEWEST_KEY_BITS = 4
MOST_KEY_BITS = 16
HEADER_BYTES = 64
PADDING = 64
"""Entries a vector load may read past the end."""
LARGEST_COUNT = 1 << 28
"""Entries, so that positions in the tables fit 32 bits."""
MASKS = 704
"""Room for masks: there are at most 697."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What sets one kind of block apart.

    Attributes:
        number: as the header has it.
        name: of the engine that searches it.
        tables: how many tables a block for hashes of so many words has, by words.
        sketch_bytes: of one entry in one table.
    """

    number: int
    name: str
    tables: dict[int, int]
    sketch_bytes: int


MULTI = Kind(0, "multi", {1: 4, 4: 16}, 2)
COMPACT = Kind(1, "compact", {4: 8}, 1)
KINDS = (MULTI, COMPACT)


def key_bits_for(count: int) -> int:
    """The shortest key with which a bucket holds 25 entries or fewer in the mean, 4 to 16 bits."""
    wanted = max(1, -(-count // ENTRIES_A_BUCKET))
    return min(max((wanted - 1).bit_length(), FEWEST_KEY_BITS), MOST_KEY_BITS)


def id_bytes_for(count: int) -> int:
    """Bytes of an entry's number in the tables."""
    return 3 if count <= 1 << 24 else 4


def header_for(count: int, bits: int, key_bits: int, kind: Kind = MULTI) -> bytes:
    """The header a block for so many entries must have; it fixes where everything lies."""
    words = bits // 64
    tables = kind.tables[words]
    offsets = _aligned(HEADER_BYTES + 2 * MASKS)
    sketches = _aligned(offsets + 4 * ((tables << key_bits) + 2))
    ids = _aligned(sketches + kind.sketch_bytes * (tables * count + PADDING))
    end = _aligned(ids + id_bytes_for(count) * (tables * count + PADDING))
    return np.array([count, words, key_bits, kind.number, offsets, sketches, ids, end], "<i8").tobytes()


def build_tables(codes: Codes, kind: Kind = MULTI) -> Codes:
    """Build the block for a set of codes.

    Args:
        codes: packed hashes; shape ``(n, 8)`` or ``(n, 32)``, uint8.
        kind: which block.

    Returns:
        the block; shape ``(length,)``, uint8.

    Raises:
        HashShapeError: another shape or dtype, too many entries, or hashes of a length the kind is not for.
    """
    codes = checked_codes(codes)
    count, code_bytes = codes.shape
    words = code_bytes // 8
    if words not in kind.tables:
        raise HashShapeError(f"{kind.name} tables are not for hashes of {64 * words} bits")
    if count > LARGEST_COUNT:
        raise HashShapeError(f"{kind.name} tables hold at most {LARGEST_COUNT:,} entries, not {count:,}")
    tables = kind.tables[words]
    bits = key_bits_for(count)
    header = header_for(count, 8 * code_bytes, bits, kind)
    _, _, _, _, at_offsets, at_sketches, at_ids, end = np.frombuffer(header, "<i8").tolist()
    block = np.zeros(end, np.uint8)
    block[: len(header)] = np.frombuffer(header, np.uint8)
    block[HEADER_BYTES : HEADER_BYTES + 2 * MASKS] = _masks(bits)
    offsets = block[at_offsets : at_offsets + 4 * ((tables << bits) + 1)].view(np.uint32)
    sketches = block[at_sketches : at_sketches + kind.sketch_bytes * tables * count]
    ids = block[at_ids : at_ids + id_bytes_for(count) * tables * count]
    _fill(codes, kind, bits, offsets, sketches, ids)
    offsets[-1] = tables * count
    return block


def kind_of(block: Codes) -> Kind:
    """The kind of a block, by its header.

    Raises:
        HashShapeError: it is cut or of no known kind.
    """
    if len(block) < HEADER_BYTES:
        raise HashShapeError("the search tables are cut")
    number = int(np.frombuffer(block[:HEADER_BYTES].tobytes(), "<i8")[3])
    for kind in KINDS:
        if kind.number == number:
            return kind
    raise HashShapeError(f"search tables of kind {number} are not known here; build the set again")


def check_tables(block: Codes, count: int, bits: int) -> None:
    """Raise HashShapeError unless header and masks are those for the codes, so that nothing lies outside the block."""
    kind = kind_of(block)
    header = block[:HEADER_BYTES].tobytes()
    key_bits, end = (int(np.frombuffer(header, "<i8")[place]) for place in (2, 7))
    fits = FEWEST_KEY_BITS <= key_bits <= MOST_KEY_BITS and bits // 64 in kind.tables and count <= LARGEST_COUNT
    if not fits or header != header_for(count, bits, key_bits, kind):
        raise HashShapeError("the search tables are not those of the codes")
    if len(block) != end or not np.array_equal(block[HEADER_BYTES : HEADER_BYTES + 2 * MASKS], _masks(key_bits)):
        raise HashShapeError("the search tables are cut or damaged")
    if sys.byteorder != "little":
        raise HashShapeError("the search tables are little-endian and this processor is not; use the engine 'faiss'")


def _masks(bits: int) -> Codes:
    """Keys of so many bits with at most three ones, lightest first; as it lies in a block."""
    keys = np.arange(1 << bits, dtype="<u2")
    weights = np.bitwise_count(keys)
    order = np.argsort(weights, kind="stable")[: np.count_nonzero(weights <= 3)]
    padded = np.zeros(MASKS, "<u2")
    padded[: len(order)] = keys[order]
    return padded.view(np.uint8)


def _fill(codes: Codes, kind: Kind, bits: int, offsets: npt.NDArray[np.uint32], sketches: Codes, ids: Codes) -> None:
    from scanner.index import _build_kernels as multi_kernels
    from scanner.index import _compact_kernels as compact_kernels

    count, code_bytes = codes.shape
    words = code_bytes // 8
    rows = codes.reshape(-1)
    for table in range(kind.tables[words]):
        if kind is MULTI:
            multi_kernels.build_chunk_into(rows, count, words, table, bits, offsets, sketches.view(np.uint16), ids)
        else:
            compact_kernels.build_pair_into(rows, count, table, bits, offsets, sketches, ids)


def _aligned(offset: int) -> int:
    return offset + -offset % 64
