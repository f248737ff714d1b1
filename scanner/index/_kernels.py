"""Compiled search of one query: every row within a radius, by chunks and sketches or by looking at all.

Why it is exact. Cut a hash into C chunks of 16 bits in a ring, and give chunk c an allowance a[c], so that the
allowances sum to radius + 1. If the distance is at most the radius, the differences d[c] - a[c] sum to less than 0; on
a ring there is then a chunk from which every partial sum is below 0 (the cycle lemma, Dvoretzky and Motzkin 1947), so

    d[c] < a[c]  and  d[c] + d[c + 1] < a[c] + a[c + 1].

For each chunk the rows stand in buckets by the chunk's top p bits. The buckets whose key is fewer than a[c] bits from
the query's are read; beside each entry lies a 16-bit sketch, the rest of its chunk and the top p bits of the next, and
an entry is a candidate if key and sketch together are within a[c] + a[c + 1] - 1 bits. Both are weaker than the
condition above, so none is lost. A candidate's full distance is taken, and it counts from the first chunk that has it
as a candidate, so that it counts once.

Why it is never much slower than a scan. Entries read and candidates checked are counted; past a bound in proportion to
the number of rows the kernel starts over and looks at every row in turn.

What is read is bounded by what is there: an offset or id beyond its table, in a file that was not verified, is cut to
the last one. Kernels never validate, allocate results or decide otherwise; scanner.index.multi does.
"""

from __future__ import annotations

import numpy as np

from scanner.index._intrinsics import (
    SKETCHES,
    compiled,
    lowest_bit,
    number_at,
    part,
    pointer,
    popcount,
    prefetch,
    put,
    scratch,
    sketches_within,
    words_at,
)
from scanner.index._pieces import (
    AT_IDS,
    AT_OFFSETS,
    AT_SKETCHES,
    CANDIDATES,
    CHUNK_BITS,
    COUNT,
    CROWDED,
    FOUR_WORDS,
    FULL,
    HEADER_BYTES,
    KEY_BITS,
    LARGEST_ALLOWANCE,
    ONE_WORD,
    PROBES,
    STACKED,
    allowance,
    chunk_of,
    distance,
    id_bytes,
    mask_of_first,
    masks_below,
    most_checked,
    packed,
    too_many,
)
from scanner.index._scan_kernels import scanned, unpacked

_BLOCK = 512
_READ_AHEAD = 3  # chunks whose bucket bounds are read ahead of the sketches
_FREE_ENTRIES = 4096  # entries read beyond one a row before a scan is thought cheaper

_U8, _U16, _U32, _U64, _I64 = np.uint8, np.uint16, np.uint32, np.uint64, np.int64
_1 = np.uint64(1)


@part
def first_from(query, query_at, words, rows, row, chunk, radius, unread):
    """Whether no chunk before this one has the row as a candidate of the hash of words u64 at query[query_at].

    unread is the bits of a chunk that are not in its key.
    """
    chunks = 4 * words
    for c in range(chunk):
        following = (c + 1) & (chunks - 1)
        own = allowance(radius, chunks, c)
        x = chunk_of(query, query_at, c) ^ chunk_of(rows, row * words, c)
        y = chunk_of(query, query_at, following) ^ chunk_of(rows, row * words, following)
        near = popcount(np.uint64(x >> unread)) < own
        if near and popcount(np.uint64(x)) + popcount(np.uint64(y >> unread)) < own + allowance(
            radius, chunks, following
        ):
            return False
    return True


_new_keys = scratch(np.int64, 16 + 1)
_new_probes = scratch(np.uint32, PROBES + 32)
_new_candidates = scratch(np.uint32, CANDIDATES + 32)
_new_block = scratch(np.uint32, _BLOCK + 32)
_new_hits = scratch(np.uint64, STACKED)
_NO_ROOM = np.empty(0, np.uint64)


@compiled
def check(at, query, radius, unread, upto, count, rows, ids, ends, places, masks, block, hits, capacity, found):
    """Verify the candidates of chunks 0 to upto; returns the number of hits, or FULL if they do not fit."""
    words = len(query)
    size_of_id = id_bytes(count)
    total = np.int64(ends[upto])
    chunk = 0
    done = 0
    last = np.int64(-1)
    while done < total:
        size = 0
        begin = done
        while done < total and size < _BLOCK:
            mask = np.uint64(masks[done])
            place = np.int64(places[done])
            done += 1
            while mask:
                entry = place + lowest_bit(mask)
                mask &= mask - _1
                prefetch(ids, size_of_id * entry)
                put(block, size, entry)
                size += 1
        for j in range(size):
            row = min(number_at(ids, size_of_id * np.int64(block[j]), size_of_id), count - 1)
            put(block, j, row)
            prefetch(rows, row * words)
        j = 0
        for one in range(begin, done):
            while one >= np.int64(ends[chunk]):
                chunk += 1
            for _ in range(popcount(np.uint64(masks[one]))):
                row = np.int64(block[j])
                j += 1
                if row == last:
                    continue
                away = distance(query, rows, row)
                if away > radius:
                    continue
                last = row
                if first_from(at, 0, len(query), rows, row, chunk, radius, unread):
                    if found == capacity:
                        return FULL
                    put(hits, found, packed(row, away))
                    found += 1
    return found


@compiled
def search(at, query, radius, rows, header, tables, hits, capacity):
    """Find every row within the radius; returns the number of hits, FULL if they do not fit, or CROWDED.

    at and query are the same hash, in memory and in registers; radius at least 0.
    """
    words = len(query)
    chunks = 4 * words
    count = header[COUNT]
    bits = header[KEY_BITS]
    if count == 0:
        return 0
    if allowance(radius, chunks, 0) > LARGEST_ALLOWANCE or radius >= 64 * words:
        return CROWDED
    patterns = pointer(tables, HEADER_BYTES, _U16)
    offsets = pointer(tables, header[AT_OFFSETS], _U32)
    sketches = pointer(tables, header[AT_SKETCHES], _U16)
    ids = pointer(tables, header[AT_IDS], _U8)
    entries = chunks * count
    unread = CHUNK_BITS - bits
    keys = _new_keys()
    firsts = _new_keys()
    ends = _new_keys()
    starts = _new_probes()
    lengths = _new_probes()
    places = _new_candidates()
    masks = _new_candidates()
    block = _new_block()
    for c in range(chunks):
        put(keys, c, chunk_of(at, 0, c))
        put(ends, c, 0)
    hit_count = 0
    found = 0
    read = 0
    checked = 0
    begin = 0
    while begin < chunks:
        # The buckets of as many whole chunks as fit a round; ask for their bounds.
        probes = 0
        stop = begin
        while stop < chunks:
            size = masks_below(bits, allowance(radius, chunks, stop))
            if probes + size > PROBES:
                break
            put(firsts, stop, probes)
            key = (keys[stop] >> unread) + (stop << bits)
            for j in range(size):
                bucket = key ^ np.int64(patterns[j])
                put(starts, probes + j, bucket)
                prefetch(offsets, bucket)
            probes += size
            stop += 1
        put(firsts, stop, probes)
        probe = 0
        ahead = 0
        for c in range(begin, stop):
            # Read bounds some chunks ahead; ask for the sketches.
            upto = np.int64(firsts[min(c + _READ_AHEAD, stop)])
            for z in range(ahead, upto):
                bucket = np.int64(starts[z])
                end = min(np.int64(offsets[bucket + 1]), entries)
                start = min(np.int64(offsets[bucket]), end)
                put(starts, z, start)
                put(lengths, z, end - start)
                read += end - start
                prefetch(sketches, start)
                prefetch(sketches, end)
                if end - start > SKETCHES:
                    for place in range(start + SKETCHES, min(end, start + 512), SKETCHES):
                        prefetch(sketches, place)
            ahead = upto
            if read > (count >> 2) + _FREE_ENTRIES:
                return CROWDED
            # Compare sketches, 32 at a time; keep place and mask without a branch.
            following = (c + 1) & (chunks - 1)
            own = allowance(radius, chunks, c)
            limit = own + allowance(radius, chunks, following) - 1
            sketch = np.uint64(((keys[c] << bits) & 0xFFFF) | (keys[following] >> unread))
            first_probe = probe
            for weight in range(own):
                last_probe = first_probe + masks_below(bits, weight + 1)
                while probe < last_probe:
                    place = np.int64(starts[probe])
                    left = np.int64(lengths[probe])
                    probe += 1
                    while True:
                        near = sketches_within(sketches, place, sketch, limit) & mask_of_first(left)
                        put(places, found, place)
                        put(masks, found, near)
                        found += np.int64(near != np.uint64(0))
                        if found >= CANDIDATES:
                            for k in range(found):
                                checked += popcount(np.uint64(masks[k]))
                            if too_many(checked, c, chunks, count):
                                return CROWDED
                            put(ends, c, found)
                            hit_count = check(
                                at, query, radius, unread, c, count, rows, ids, ends, places, masks, block,
                                hits, capacity, hit_count,
                            )  # fmt: skip
                            if hit_count < 0:
                                return hit_count
                            found = 0
                            for k in range(c + 1):
                                put(ends, k, 0)
                        if left <= SKETCHES:
                            break
                        place += SKETCHES
                        left -= SKETCHES
                limit -= 1
            put(ends, c, found)
        begin = stop
    return check(
        at,
        query,
        radius,
        unread,
        chunks - 1,
        count,
        rows,
        ids,
        ends,
        places,
        masks,
        block,
        hits,
        capacity,
        hit_count,
    )


@compiled
def searched(at, query, radius, most, rows, tables):
    """Rows and distances within the radius, as (2, k) i64, or None if there are none; of more than most, any most."""
    base = pointer(rows, 0, _U64)
    header = pointer(tables, 0, _I64)
    stacked = _new_hits()
    count = header[COUNT]
    capacity = min(most, STACKED)
    room = _NO_ROOM
    hits = stacked
    while True:  # once, or twice if there are more hits than the stack holds; one call, so that it is compiled once
        found = search(at, query, radius, base, header, tables, hits, capacity)
        if found != FULL or capacity == most or len(room):
            break
        capacity = min(most, most_checked(count))
        room = np.empty(capacity, np.uint64)
        hits = pointer(room, 0, _U64)
    if found == CROWDED or (found == FULL and capacity < most):
        return scanned(query, radius, most, rows, count)
    if found == 0:
        return None
    size = capacity if found == FULL else found
    return unpacked(room, size) if len(room) else unpacked(stacked, size)


@compiled
def search_one_256(code, radius, most, rows, tables):
    """Search the tables for a code of 32 bytes; rows and tables are u8."""
    at = pointer(code, 0, _U64)
    return searched(at, words_at(at, 0, FOUR_WORDS), radius, most, rows, tables)


@compiled
def search_one_64(code, radius, most, rows, tables):
    """Search the tables for a code of 8 bytes; rows and tables are u8."""
    at = pointer(code, 0, _U64)
    return searched(at, words_at(at, 0, ONE_WORD), radius, most, rows, tables)
