"""Compiled search of many queries: one chunk's tables at a time, the queries in the order of their keys.

Neighbouring queries read neighbouring buckets, so that most of what is read is in the cache already. Conditions and
bounds are those of scanner.index._kernels; a query that meets crowded buckets is left for a scan. A scan of many
queries takes the rows in blocks that stay in the cache while all queries pass.
"""

from __future__ import annotations

import numpy as np

from scanner.index import _pieces as pieces
from scanner.index._intrinsics import (
    SKETCHES,
    compiled,
    lowest_bit,
    number_at,
    part,
    pointer,
    prefetch,
    put,
    scratch,
    sketches_within,
    words_at,
)
from scanner.index._kernels import first_from
from scanner.index._pieces import allowance, chunk_of, distance, id_bytes, mask_of_first, masks_below, packed
from scanner.index._scan_kernels import scan_from

_AHEAD = 6  # queries whose sketches are asked for ahead
_CANDIDATES = 16384
_ROOM = _CANDIDATES + 64
_BLOCK = 512
_ROWS_AT_ONCE = 1024
_U8, _U16, _U32, _U64, _I64 = np.uint8, np.uint16, np.uint32, np.uint64, np.int64
_1 = np.uint64(1)
_AT_OFFSETS, _AT_SKETCHES, _AT_IDS = pieces.AT_OFFSETS, pieces.AT_SKETCHES, pieces.AT_IDS
_COUNT, _KEY_BITS, _CHUNK_BITS = pieces.COUNT, pieces.KEY_BITS, pieces.CHUNK_BITS
_LARGEST_ALLOWANCE = pieces.LARGEST_ALLOWANCE


@compiled
def grown(array, size):
    """An array of another size that begins with this one."""
    larger = np.empty(size, array.dtype)
    kept = min(array.size, size)
    larger[:kept] = array[:kept]
    return larger


@part
def parts_of(room):
    """Where candidates' places, masks and askers lie in room (3 * _ROOM,) u32, which must outlive the pointers."""
    return pointer(room, 0, _U32), pointer(room, 4 * _ROOM, _U32), pointer(room, 8 * _ROOM, _U32)


_new_block = scratch(np.uint32, _BLOCK + 32)
_new_hits = scratch(np.uint64, _ROWS_AT_ONCE)


@compiled
def ask(words, queries, query, chunk, bits, size, entries, offsets, sketches, patterns, steps, place):
    """Ask for the sketches a query needs in a chunk; note how many comparisons of 32 they take."""
    key = (chunk_of(queries, query * words, chunk) >> (_CHUNK_BITS - bits)) + (chunk << bits)
    total = size
    for j in range(size):
        bucket = key ^ np.int64(patterns[j])
        end = min(np.int64(offsets[bucket + 1]), entries)
        start = min(np.int64(offsets[bucket]), end)
        total += (end - start) // SKETCHES
        prefetch(sketches, start)
        prefetch(sketches, end)
        if end - start > SKETCHES:
            for at in range(start + SKETCHES, min(end, start + 512), SKETCHES):
                prefetch(sketches, at)
    steps[place] = total


@compiled
def gather(
    words, queries, order, many, begin, chunk, radius, bits, entries, offsets, sketches, patterns, steps, work, most,
    room,
):  # fmt: skip
    """Compare sketches for the queries from order[begin] on, until the candidates might not fit.

    order, steps and room (u32) and work (i64) are arrays, so that they live as long as the call. Returns the next
    query to go on with, and the number of candidates.
    """
    queue = pointer(order, 0, _U32)
    places, masks, askers = parts_of(room)
    chunks = 4 * words
    own = allowance(radius, chunks, chunk)
    following = (chunk + 1) & (chunks - 1)
    loosest = own + allowance(radius, chunks, following) - 1
    unread = _CHUNK_BITS - bits
    size = masks_below(bits, own)
    found = 0
    turn = begin
    for ahead in range(turn, min(turn + _AHEAD, many)):
        query = np.int64(queue[ahead])
        ask(words, queries, query, chunk, bits, size, entries, offsets, sketches, patterns, steps, ahead)
    while turn < many:
        ahead = turn + _AHEAD
        if ahead < many:
            query = np.int64(queue[ahead])
            ask(words, queries, query, chunk, bits, size, entries, offsets, sketches, patterns, steps, ahead)
        query = np.int64(queue[turn])
        need = np.int64(steps[turn])
        if need > _CANDIDATES:
            work[query] = most + 1
        if work[query] > most:
            turn += 1
            continue
        if found + need > _CANDIDATES:
            break
        work[query] += SKETCHES * (need - size)
        value = chunk_of(queries, query * words, chunk)
        key = (value >> unread) + (chunk << bits)
        sketch = np.uint64(((value << bits) & 0xFFFF) | (chunk_of(queries, query * words, following) >> unread))
        limit = loosest
        j = 0
        for weight in range(own):
            last = masks_below(bits, weight + 1)
            while j < last:
                bucket = key ^ np.int64(patterns[j])
                j += 1
                end = min(np.int64(offsets[bucket + 1]), entries)
                place = min(np.int64(offsets[bucket]), end)
                left = end - place
                while True:
                    near = sketches_within(sketches, place, sketch, limit) & mask_of_first(left)
                    put(places, found, place)
                    put(masks, found, near)
                    put(askers, found, query)
                    found += np.int64(near != np.uint64(0))
                    if left <= SKETCHES:
                        break
                    place += SKETCHES
                    left -= SKETCHES
            limit -= 1
        turn += 1
    return turn, found


@compiled
def check(
    like, queries, radius, bits, chunk, count, rows, ids, room, total, work, hits, owners, used,
):  # fmt: skip
    """Verify the candidates of one chunk; returns hits and owners, perhaps grown, and how many there are."""
    words = len(like)
    size_of_id = id_bytes(count)
    places, masks, askers = parts_of(room)
    block = _new_block()
    owners_block = _new_block()
    unread = _CHUNK_BITS - bits
    done = 0
    while done < total:
        size = 0
        while done < total and size < _BLOCK:
            mask = np.uint64(masks[done])
            place = np.int64(places[done])
            asker = np.int64(askers[done])
            done += 1
            while mask:
                entry = place + lowest_bit(mask)
                mask &= mask - _1
                prefetch(ids, size_of_id * entry)
                put(block, size, entry)
                put(owners_block, size, asker)
                size += 1
        for j in range(size):
            row = min(number_at(ids, size_of_id * np.int64(block[j]), size_of_id), count - 1)
            put(block, j, row)
            prefetch(rows, row * words)
        if used + size > hits.size:
            hits = grown(hits, 2 * hits.size + size)
            owners = grown(owners, hits.size)
        for j in range(size):
            row = np.int64(block[j])
            query = np.int64(owners_block[j])
            work[query] += SKETCHES
            at = query * words
            away = distance(words_at(queries, at, like), rows, row)
            if away <= radius and first_from(queries, at, words, rows, row, chunk, radius, unread):
                hits[used] = packed(row, away)
                owners[used] = query
                used += 1
    return hits, owners, used


@compiled
def scan_blocks(like, queries, which, radius, base, count, hits, owners, used):
    """Look at every row for the queries in which (i64); returns hits and owners, perhaps grown, and their number."""
    words = len(like)
    stacked = _new_hits()
    for begin in range(0, count, _ROWS_AT_ONCE):
        size = min(_ROWS_AT_ONCE, count - begin)
        for query in which:
            # The block is found by its first row, so that one pointer serves.
            _, found = scan_from(
                words_at(queries, query * words, like), radius, begin, begin + size, base, stacked, 0, size + 1
            )
            if used + found > hits.size:
                hits = grown(hits, 2 * hits.size + found)
                owners = grown(owners, hits.size)
            for i in range(found):
                hits[used] = stacked[i]
                owners[used] = query
                used += 1
    return hits, owners, used


@compiled
def scan_many(like, codes, many, radius, rows, count):
    """Look at every row for every query; packed hits (k,) u64 and the query of each (k,) u32, in any order."""
    hits = np.empty(many + 1024, np.uint64)
    owners = np.empty(hits.size, np.uint32)
    queries = pointer(codes, 0, _U64)
    base = pointer(rows, 0, _U64)
    hits, owners, used = scan_blocks(like, queries, np.arange(many), radius, base, count, hits, owners, 0)
    return hits[:used], owners[:used]


@compiled
def search_many(like, codes, many, radius, rows, tables):
    """Search the tables for every query; results as for scan_many, which a radius over the tables' goes to."""
    words = len(like)
    chunks = 4 * words
    header = pointer(tables, 0, _I64)
    count = header[_COUNT]
    if count == 0 or allowance(radius, chunks, 0) > _LARGEST_ALLOWANCE or radius >= 64 * words:
        return scan_many(like, codes, many, radius, rows, count)
    bits = header[_KEY_BITS]
    queries = pointer(codes, 0, _U64)
    base = pointer(rows, 0, _U64)
    patterns = pointer(tables, pieces.HEADER_BYTES, _U16)
    offsets = pointer(tables, header[_AT_OFFSETS], _U32)
    sketches = pointer(tables, header[_AT_SKETCHES], _U16)
    ids = pointer(tables, header[_AT_IDS], _U8)
    most = 2 * count + 65536  # entries compared and 32 a candidate; above, a scan is thought cheaper
    work = np.zeros(many, np.int64)
    order = np.empty(many, np.uint32)
    steps = np.empty(many, np.uint32)
    room = np.empty(3 * _ROOM, np.uint32)
    hits = np.empty(many + 1024, np.uint64)
    owners = np.empty(hits.size, np.uint32)
    used = 0
    starts = np.empty((1 << bits) + 1, np.int64)
    for chunk in range(chunks):
        if allowance(radius, chunks, chunk) == 0:
            continue
        starts[:] = 0
        for query in range(many):
            starts[(chunk_of(queries, query * words, chunk) >> (_CHUNK_BITS - bits)) + 1] += 1
        for bucket in range(1 << bits):
            starts[bucket + 1] += starts[bucket]
        for query in range(many):
            bucket = chunk_of(queries, query * words, chunk) >> (_CHUNK_BITS - bits)
            order[starts[bucket]] = query
            starts[bucket] += 1
        turn = 0
        while turn < many:
            turn, found = gather(
                words, queries, order, many, turn, chunk, radius, bits, chunks * count, offsets, sketches, patterns,
                steps, work, most, room,
            )  # fmt: skip
            hits, owners, used = check(
                like, queries, radius, bits, chunk, count, base, ids, room, found, work, hits, owners, used
            )  # fmt: skip
    # Queries that met crowded buckets are scanned; what they found until then does not count.
    kept = 0
    for i in range(used):
        if work[np.int64(owners[i])] <= most:
            hits[kept] = hits[i]
            owners[kept] = owners[i]
            kept += 1
    crowded = np.flatnonzero(work > most)
    hits, owners, kept = scan_blocks(like, queries, crowded, radius, base, count, hits, owners, kept)
    return hits[:kept], owners[:kept]


@compiled
def scan_many_256(codes, many, radius, rows, count):
    """Look at every row for many codes of 32 bytes; codes and rows are u8."""
    return scan_many(pieces.FOUR_WORDS, codes, many, radius, rows, count)


@compiled
def scan_many_64(codes, many, radius, rows, count):
    """Look at every row for many codes of 8 bytes; codes and rows are u8."""
    return scan_many(pieces.ONE_WORD, codes, many, radius, rows, count)


@compiled
def search_many_256(codes, many, radius, rows, tables):
    """Search the tables for many codes of 32 bytes; codes, rows and tables are u8."""
    return search_many(pieces.FOUR_WORDS, codes, many, radius, rows, tables)


@compiled
def search_many_64(codes, many, radius, rows, tables):
    """Search the tables for many codes of 8 bytes; codes, rows and tables are u8."""
    return search_many(pieces.ONE_WORD, codes, many, radius, rows, tables)
