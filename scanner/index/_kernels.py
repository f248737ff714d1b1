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

Rows are packed u64, W words each. A hit is packed as row | distance << 48.
"""

from __future__ import annotations

import numpy as np

from scanner.index._intrinsics import (
    ROWS,
    SKETCHES,
    compiled,
    inline,
    lowest_bit,
    pointer,
    popcount,
    prefetch,
    put,
    rows_within,
    scratch,
    sketches_within,
    word,
)

CHUNK_BITS = 16
LARGEST_ALLOWANCE = 4  # a chunk's key may differ in 3 bits at the most; larger radii are scanned
MASKS = 697  # keys of at most 3 bits among 16
PROBES = 704  # buckets looked up in one round, at least MASKS
PADDING = 64  # entries a vector load may read past the end
STACKED = 1024  # hits that fit on the stack
ROW_MASK = (1 << 48) - 1
DISTANCE_SHIFT = 48

# Positions in a table block's header, eight int64.
COUNT, WORDS, KEY_BITS, AT_MASKS, AT_OFFSETS, AT_SKETCHES, AT_IDS, BYTES = range(8)
HEADER_BYTES = 64

_CANDIDATES = 1024
_BLOCK = 512
_READ_AHEAD = 3  # chunks whose bucket bounds are read ahead of the sketches
_FREE_ENTRIES = 4096  # entries read beyond one a row before a scan is thought cheaper
_FREE_CANDIDATES = 1024

_U16, _U32, _U64, _I64 = np.uint16, np.uint32, np.uint64, np.int64
_1 = np.uint64(1)


@inline
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


@inline
def allowance(radius, chunks, chunk):
    """The chunk's share of radius + 1; the first chunks take what does not divide."""
    share = (radius + 1) // chunks
    return share + np.int64(chunk < (radius + 1) - share * chunks)


@inline
def chunk_of(words, at, chunk):
    """Sixteen bits of the hash whose first word is words[at]."""
    return np.int64((word(words, at + (chunk >> 2)) >> np.uint64((chunk & 3) << 4)) & np.uint64(0xFFFF))


@inline
def mask_of_first(count):
    """The lowest count bits of at most 32."""
    return (_1 << np.uint64(min(count, SKETCHES))) - _1


@inline
def packed(row, distance):
    """A hit in one word."""
    return np.uint64(row) | (np.uint64(distance) << np.uint64(DISTANCE_SHIFT))


def _distance_kernel(words):
    @inline
    def distance(query, rows, row):
        total = np.int64(0)
        for w in range(words):
            total += popcount(query[w] ^ word(rows, row * words + w))
        return total

    return distance


def _words_kernel(words):
    """Make the function that takes a query's words into registers."""
    if words == 4:

        @inline
        def words_of(query, at):
            return (word(query, at), word(query, at + 1), word(query, at + 2), word(query, at + 3))

        return words_of

    @inline
    def word_of(query, at):
        return (word(query, at),)

    return word_of


def _scan_kernel(words, distance):
    @compiled
    def scan(query, radius, count, rows, hits, capacity):
        """Look at every row in turn; returns the number of hits, or -1 if they do not fit."""
        found = 0
        row = 0
        if words == 4:
            while row + ROWS <= count:
                near = rows_within(rows, row, query[0], query[1], query[2], query[3], radius)
                while near:
                    one = row + lowest_bit(near)
                    near &= near - _1
                    if found == capacity:
                        return -1
                    put(
                        hits,
                        found,
                        np.uint64(one) | (np.uint64(distance(query, rows, one)) << np.uint64(DISTANCE_SHIFT)),
                    )
                    found += 1
                row += ROWS
        while row < count:
            away = distance(query, rows, row)
            if away <= radius:
                if found == capacity:
                    return -1
                put(hits, found, packed(row, away))
                found += 1
            row += 1
        return found

    return scan


def _first_from_kernel(words):
    chunks = 4 * words

    @inline
    def first_from(query, query_at, rows, row, chunk, radius, unread):
        """Whether no chunk before this one has the row as a candidate of this hash; unread is 16 - p."""
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

    return first_from


distance_256, distance_64 = _distance_kernel(4), _distance_kernel(1)
words_of_256, words_of_64 = _words_kernel(4), _words_kernel(1)
first_from_256, first_from_64 = _first_from_kernel(4), _first_from_kernel(1)
scan_256, scan_64 = _scan_kernel(4, distance_256), _scan_kernel(1, distance_64)


def _search_kernels(words, distance, words_of, first_from, scan):
    """Make the doors to search and scan for hashes of so many words (1 or 4)."""
    chunks = 4 * words
    new_keys = scratch(np.int64, chunks + 1)
    new_probes = scratch(np.uint32, PROBES + 32)
    new_candidates = scratch(np.uint32, _CANDIDATES + 32)
    new_block = scratch(np.uint32, _BLOCK + 32)
    new_hits = scratch(np.uint64, STACKED)

    @compiled
    def check(at, query, radius, unread, upto, count, rows, ids, ends, places, masks, block, hits, capacity, found):
        """Verify the candidates of chunks 0 to upto; returns the number of hits, or -1 if they do not fit."""
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
                    prefetch(ids, entry)
                    put(block, size, entry)
                    size += 1
            for j in range(size):
                row = min(np.int64(ids[np.int64(block[j])]), count - 1)
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
                    if first_from(at, 0, rows, row, chunk, radius, unread):
                        if found == capacity:
                            return -1
                        put(hits, found, packed(row, away))
                        found += 1
        return found

    @compiled
    def search(at, query, radius, rows, header, tables, hits, capacity):
        """Find every row within the radius; returns the number of hits, or -1 if they do not fit.

        at and query are the same hash, in memory and in registers; radius at least 0.
        """
        count = header[COUNT]
        bits = header[KEY_BITS]
        if count == 0:
            return 0
        if allowance(radius, chunks, 0) > LARGEST_ALLOWANCE or radius >= 64 * words:
            return scan(query, radius, count, rows, hits, capacity)
        patterns = pointer(tables, header[AT_MASKS], _U16)
        offsets = pointer(tables, header[AT_OFFSETS], _U32)
        sketches = pointer(tables, header[AT_SKETCHES], _U16)
        ids = pointer(tables, header[AT_IDS], _U32)
        entries = chunks * count
        unread = CHUNK_BITS - bits
        keys = new_keys()
        firsts = new_keys()
        ends = new_keys()
        starts = new_probes()
        lengths = new_probes()
        places = new_candidates()
        masks = new_candidates()
        block = new_block()
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
                    for place in range(start + SKETCHES, min(end, start + 512), SKETCHES):
                        prefetch(sketches, place)
                ahead = upto
                if read > count + _FREE_ENTRIES:
                    return scan(query, radius, count, rows, hits, capacity)
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
                            if found >= _CANDIDATES:
                                put(ends, c, found)
                                hit_count = check(
                                    at, query, radius, unread, c, count, rows, ids, ends, places, masks, block,
                                    hits, capacity, hit_count,
                                )  # fmt: skip
                                if hit_count < 0:
                                    return hit_count
                                checked += found
                                if checked > _FREE_CANDIDATES + (count >> 6):
                                    return scan(query, radius, count, rows, hits, capacity)
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
    def unpacked(hits, count):
        """Rows and distances of packed hits, by ascending row; (2, count) i64."""
        found = np.empty((2, count), np.int64)
        for i in range(count):
            row = np.int64(hits[i] & np.uint64(ROW_MASK))
            away = np.int64(hits[i] >> np.uint64(DISTANCE_SHIFT))
            j = i
            if count <= SKETCHES:  # few hits are sorted where they fall
                while j > 0 and found[0, j - 1] > row:
                    found[0, j] = found[0, j - 1]
                    found[1, j] = found[1, j - 1]
                    j -= 1
            found[0, j] = row
            found[1, j] = away
        if count > SKETCHES:
            order = np.argsort(found[0])
            found = found[:, order]
        return found

    @compiled
    def search_one(code, radius, rows, tables):
        """Rows and distances within the radius of a code (bytes or u8), as (2, k) i64, or None if there are none."""
        at = pointer(code, 0, _U64)
        query = words_of(at, 0)
        base = pointer(rows, 0, _U64)
        header = pointer(tables, 0, _I64)
        stacked = new_hits()
        count = search(at, query, radius, base, header, tables, stacked, STACKED)
        if count == 0:
            return None
        if count > 0:
            return unpacked(stacked, count)
        capacity = STACKED
        while True:
            capacity = min(capacity * 8, header[COUNT])
            room = np.empty(capacity, np.uint64)
            count = search(at, query, radius, base, header, tables, pointer(room, 0, _U64), capacity)
            if count >= 0:
                return unpacked(room, count)

    @compiled
    def scan_one(code, radius, rows, count):
        """The same by looking at every row."""
        query = words_of(pointer(code, 0, _U64), 0)
        base = pointer(rows, 0, _U64)
        stacked = new_hits()
        found = scan(query, radius, count, base, stacked, STACKED)
        if found == 0:
            return None
        if found > 0:
            return unpacked(stacked, found)
        capacity = STACKED
        while True:
            capacity = min(capacity * 8, count)
            room = np.empty(capacity, np.uint64)
            found = scan(query, radius, count, base, pointer(room, 0, _U64), capacity)
            if found >= 0:
                return unpacked(room, found)

    return search_one, scan_one


search_one_256, scan_one_256 = _search_kernels(4, distance_256, words_of_256, first_from_256, scan_256)
search_one_64, scan_one_64 = _search_kernels(1, distance_64, words_of_64, first_from_64, scan_64)
