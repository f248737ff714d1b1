"""The block of search tables: what it holds, and that only the block of its own codes is accepted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import HashShapeError
from scanner.hashset import HashSet, HashSetBuilder
from scanner.index import CROSSOVER, open_index
from scanner.index.multi import CompactIndex, MultiIndex
from scanner.index.tables import COMPACT, MULTI, build_tables, check_tables, header_for, key_bits_for
from tests.index.test_engines import clustered, every_size
from tests.strategies import banks


@every_size
@given(data=st.data())
@settings(max_examples=30)
def test_every_entry_is_in_every_chunk_once(size, data):
    """The ids of each chunk are a permutation of the entries, in buckets by the chunk's top bits."""
    bank = data.draw(banks(size))
    block = build_tables(bank)
    count, words, key_bits, _, at_offsets, _, at_ids, end = np.frombuffer(block[:64].tobytes(), "<i8").tolist()
    chunks = 4 * words
    assert (count, words, end) == (len(bank), size // 8, len(block))
    offsets = np.frombuffer(block.tobytes(), "<u4", (chunks << key_bits) + 1, at_offsets)
    ids = np.frombuffer(block.tobytes(), "u1", 3 * chunks * count, at_ids).reshape(chunks, count, 3) @ [1, 256, 65536]
    values = bank.view("<u2").reshape(count, chunks)
    assert (np.diff(offsets.astype(np.int64)) >= 0).all()
    for chunk in range(chunks):
        assert sorted(ids[chunk].tolist()) == list(range(count))
        keys = values[ids[chunk], chunk] >> (16 - key_bits)
        sizes = np.diff(offsets[chunk << key_bits : ((chunk + 1) << key_bits) + 1].astype(np.int64))
        np.testing.assert_array_equal(sizes, np.bincount(keys, minlength=1 << key_bits))
        assert (np.diff(keys.astype(int)) >= 0).all()


def test_the_same_codes_give_the_same_tables():
    """A set that holds tables is reproducible too."""
    bank = clustered(300, 32)
    np.testing.assert_array_equal(build_tables(bank), build_tables(bank.copy()))


@pytest.mark.parametrize(
    ("count", "bits"), [(0, 4), (1, 4), (400, 4), (401, 5), (800, 5), (1 << 20, 16), (1 << 28, 16)]
)
def test_buckets_hold_at_most_twenty_five_entries_in_the_mean(count, bits):
    """Keys grow by a bit with every doubling, up to the chunk's sixteen."""
    assert key_bits_for(count) == bits


@every_size
def test_tables_built_before_are_used(size):
    """Given and built tables give the same hits."""
    bank = clustered(500, size)
    given_tables = MultiIndex(bank, build_tables(bank))
    for query in bank[::50]:
        for one, other in zip(
            given_tables.search(query.tobytes(), 20), MultiIndex(bank).search(query.tobytes(), 20), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@every_size
def test_tables_of_other_codes_are_refused(size):
    """Another count, another length, or a block that is cut is not searched."""
    bank = clustered(40, size)
    block = build_tables(bank)
    check_tables(block, 40, 8 * size)
    for wrong, count, bits in (
        (block, 41, 8 * size),
        (block, 39, 8 * size),
        (block, 40, 256 if size == 8 else 64),
        (block[:-1], 40, 8 * size),
        (np.append(block, np.uint8(0)), 40, 8 * size),
        (block[:63], 40, 8 * size),
        (block[:0], 40, 8 * size),
    ):
        with pytest.raises(HashShapeError, match="the search tables are"):
            check_tables(wrong, count, bits)


@every_size
def test_a_header_with_any_byte_changed_is_refused(size):
    """The header fixes where everything lies, so nothing outside the block is ever looked at."""
    block = build_tables(clustered(40, size))
    for place in range(64):
        for mask in (1, 128, 255):
            changed = block.copy()
            changed[place] ^= mask
            with pytest.raises(HashShapeError, match="search tables"):
                check_tables(changed, 40, 8 * size)


@every_size
def test_headers_place_parts_in_order_at_multiples_of_64(size):
    """Parts neither overlap nor share a cache line."""
    for count in (0, 1, 100, 5000):
        places = np.frombuffer(header_for(count, 8 * size, key_bits_for(count)), "<i8")[4:]
        assert (places % 64 == 0).all()
        assert (np.diff(places) > 0).all()


@every_size
@settings(max_examples=40)
@given(data=st.data())
def test_tables_that_hold_anything_never_lead_outside(size, data):
    """Behind a right header any offsets, ids and sketches give hits that are entries within the radius."""
    bank = clustered(60, size)
    block = build_tables(bank)
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    start = int(np.frombuffer(block[:64].tobytes(), "<i8")[4])
    share = data.draw(st.sampled_from([0.001, 0.1, 1.0]))
    damaged = rng.random(len(block)) < share
    damaged[:start] = False
    block[damaged] = rng.integers(0, 256, int(damaged.sum()), np.uint8)
    query = bank[3]
    hits = MultiIndex(bank, block).search(query.tobytes(), 31)
    differing = np.unpackbits(bank ^ query, axis=1).sum(axis=1)
    assert set(hits.indices.tolist()) <= set(np.flatnonzero(differing <= 31).tolist())
    np.testing.assert_array_equal(differing[hits.indices], hits.distances)


@pytest.mark.parametrize("wrong", [np.zeros((3, 16), np.uint8), np.zeros((3, 32), np.uint16), np.zeros(32, np.uint8)])
def test_codes_of_another_shape_have_no_tables(wrong):
    """Tables are for 64- and 256-bit codes."""
    with pytest.raises(HashShapeError, match="codes are uint8"):
        build_tables(wrong)


@pytest.mark.parametrize("count", [0, 1, 40, 5000])
def test_compact_tables_hold_every_entry_in_every_pair_once(count):
    """The ids of each pair are a permutation of the entries, in buckets by the pair's top bits."""
    bank = clustered(count, 32)
    block = build_tables(bank, COMPACT)
    _, _, key_bits, kind, at_offsets, _, at_ids, end = np.frombuffer(block[:64].tobytes(), "<i8").tolist()
    assert (kind, end) == (COMPACT.number, len(block))
    offsets = np.frombuffer(block.tobytes(), "<u4", (8 << key_bits) + 1, at_offsets).astype(np.int64)
    ids = np.frombuffer(block.tobytes(), "u1", 3 * 8 * count, at_ids).reshape(8, count, 3) @ [1, 256, 65536]
    values = bank.view("<u2").reshape(count, 16)[:, ::2]
    for pair in range(8):
        assert sorted(ids[pair].tolist()) == list(range(count))
        keys = values[ids[pair], pair] >> (16 - key_bits)
        sizes = np.diff(offsets[pair << key_bits : ((pair + 1) << key_bits) + 1])
        np.testing.assert_array_equal(sizes, np.bincount(keys, minlength=1 << key_bits))


def test_each_kind_of_tables_is_searched_by_its_engine_alone():
    """Given the other kind, an engine refuses; opening by name builds its own."""
    bank = clustered(300, 32)
    for engine, other in ((MultiIndex, COMPACT), (CompactIndex, MULTI)):
        with pytest.raises(HashShapeError, match="another kind"):
            engine(bank, build_tables(bank, other))


def test_compact_tables_are_for_256_bits_alone():
    """At 64 bits the full tables are small already."""
    with pytest.raises(HashShapeError, match="not for hashes of 64 bits"):
        build_tables(clustered(10, 8), COMPACT)


def test_a_compact_set_is_opened_with_its_tables(tmp_path):
    """What was asked for at build stands in the file and is used."""
    bank = clustered(CROSSOVER, 32)
    builder = HashSetBuilder("compact")
    builder.add_codes(bank, np.arange(len(bank), dtype=np.uint64))
    builder.write(tmp_path / "set", compact=True)
    with HashSet.open(tmp_path / "set") as known:
        assert open_index(known).engine == "compact"
        assert open_index(known, "multi").engine == "multi"
        assert known.tables.nbytes < 60 * len(bank)
