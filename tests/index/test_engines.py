"""Every engine finds exactly what the oracle finds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.errors import HashShapeError, UnknownNameError
from scanner.hashset import Entry, HashSet, HashSetBuilder
from scanner.index import CROSSOVER, ENGINES, distances, engine_for, open_index
from scanner.index.faiss import FaissIndex
from scanner.index.flat import FlatIndex
from scanner.index.multi import CompactIndex, MultiIndex
from scanner.types import PerceptualHash
from tests import oracle
from tests.strategies import banks, codes, flipped

CLASSES = {"flat": FlatIndex, "multi": MultiIndex, "compact": CompactIndex, "faiss": FaissIndex}
SIZES = [8, 32]
ALGORITHM_OF = {8: "phash", 32: "pdq"}

every_engine = pytest.mark.parametrize("index_of", CLASSES.values(), ids=CLASSES)
every_size = pytest.mark.parametrize("size", SIZES, ids=["64 bits", "256 bits"])


def listed(hits) -> list[tuple[int, int]]:
    """Hits as the oracle gives them."""
    return list(zip(hits.indices.tolist(), hits.distances.tolist(), strict=True))


def bank_of(rows: list[bytes], size: int) -> np.ndarray:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), size)


def clustered(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Codes in tight clusters, so that searches at small radii have many hits at many distances."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 256, (max(1, count // 50), size), np.uint8)
    bits = np.unpackbits(centres[rng.integers(0, len(centres), count)], axis=1)
    flips = rng.random((count, 8 * size)) < rng.uniform(0, 0.12, (count, 1))
    return np.packbits(bits ^ flips, axis=1)


def test_every_engine_is_tested():
    """An engine added to the list is added here."""
    assert tuple(CLASSES) == ENGINES
    assert [index.engine for index in CLASSES.values()] == list(ENGINES)


@every_engine
@every_size
@given(data=st.data())
def test_searches_equal_the_oracle(index_of, size, data):
    """Indices ascending, distances exact, for any set and any radius from 0 to all bits."""
    bank = data.draw(banks(size))
    anchors = [st.sampled_from([row.tobytes() for row in bank])] if len(bank) else []
    query = data.draw(st.one_of(codes(size), *anchors))
    radius = data.draw(st.one_of(st.integers(0, 8 * size), st.integers(0, 31)))
    index = index_of(bank)
    hits = index.search(query, radius)
    assert listed(hits) == oracle.search([row.tobytes() for row in bank], query, radius)
    assert hits.indices.dtype == np.int64
    assert (len(index), index.bits) == (len(bank), 8 * size)


@every_engine
@every_size
@settings(max_examples=40)
@given(data=st.data())
def test_radius_is_inclusive(index_of, size, data):
    """A hash k bits away is found at radius k and not at k - 1."""
    known = data.draw(codes(size))
    flips = data.draw(st.sets(st.integers(0, 8 * size - 1), min_size=1))
    index = index_of(bank_of([known], size))
    query = flipped(known, flips)
    assert listed(index.search(query, len(flips))) == [(0, len(flips))]
    assert listed(index.search(query, len(flips) - 1)) == []


@every_engine
@every_size
@given(data=st.data())
@settings(max_examples=40)
@example(data=None)
def test_matches_are_found_however_their_bits_are_spread(index_of, size, data):
    """Each chunk of a hash may hold all of the differing bits or none."""
    bank = clustered(600, size)
    if data is None:
        radius, flips = 31, set(range(31))
    else:
        radius = data.draw(st.integers(1, 70))
        start = data.draw(st.integers(0, 8 * size - 1))
        stride = data.draw(st.integers(1, 32))
        flips = {(start + stride * step) % (8 * size) for step in range(radius)}
    query = flipped(bank[77].tobytes(), flips)
    found = dict(listed(index_of(bank).search(query, min(radius, 8 * size))))
    assert found[77] == len(flips)


@every_engine
@every_size
@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1024, 2048, 4096])
def test_sets_of_every_awkward_count_equal_the_oracle(index_of, size, count):
    """Empty, one, and the counts around powers of two."""
    bank = clustered(count, size, seed=count)
    rows = [row.tobytes() for row in bank]
    queries = [*rows[:2], *rows[-2:], bytes(size), np.random.default_rng(count).bytes(size)]
    index = index_of(bank)
    for query in queries:
        for radius in (0, 7, 31, 63):
            assert listed(index.search(query, radius)) == oracle.search(rows, query, radius)


@every_engine
@every_size
@pytest.mark.parametrize("count", [64, 65, 1024, 1025, 8192, 8193, 20_000])
def test_sets_of_one_hash_repeated_are_found_whole(index_of, size, count):
    """Room for hits grows as needed: no hit is lost, also where every entry is in one bucket."""
    code = np.random.default_rng(3).bytes(size)
    index = index_of(np.tile(np.frombuffer(code, np.uint8), (count, 1)))
    near = flipped(code, {0, 9, 60})
    for query, radius, distance in ((code, 0, 0), (near, 3, 3), (near, 31, 3), (near, 8 * size, 3)):
        hits = index.search(query, radius)
        np.testing.assert_array_equal(hits.indices, np.arange(count))
        assert set(hits.distances.tolist()) == {distance}
    assert listed(index.search(near, 2)) == []


@every_engine
@every_size
def test_searches_of_a_large_set_equal_the_oracle_engine_by_engine(index_of, size):
    """Thousands of codes, hits and misses, small and large radii; counted by numpy."""
    bank = clustered(6000, size, seed=9)
    index = index_of(bank)
    rng = np.random.default_rng(10)
    queries = [*bank[::400], *rng.integers(0, 256, (5, size), np.uint8)]
    for number, query in enumerate(queries):
        differing = np.unpackbits(bank ^ query, axis=1).sum(axis=1)
        radius = [0, 3, 15, 16, 31, 32, 47, 63, 64][number % 9]
        within = np.flatnonzero(differing <= radius)
        hits = index.search(query.tobytes(), radius)
        np.testing.assert_array_equal(hits.indices, within)
        np.testing.assert_array_equal(hits.distances, differing[within])


@every_engine
@every_size
def test_the_whole_radius_finds_everything(index_of, size):
    """At a radius of all bits even the complement is found."""
    bank = clustered(300, size)
    complement = bytes(255 - byte for byte in bank[5].tobytes())
    hits = index_of(bank).search(complement, 8 * size)
    np.testing.assert_array_equal(hits.indices, np.arange(300))
    assert hits.distances[5] == 8 * size


@every_engine
@every_size
def test_banks_may_lie_anywhere(index_of, size):
    """Unaligned, strided and read-only codes give the same hits."""
    bank = clustered(200, size)
    query = bank[11].tobytes()
    expected = listed(index_of(bank).search(query, 20))
    unaligned = np.frombuffer(b"x" + bank.tobytes(), np.uint8, offset=1).reshape(bank.shape)
    strided = np.repeat(bank, 2, axis=0)[::2]
    columns = np.asfortranarray(bank)
    assert (11, 0) in expected
    for other in (unaligned, strided, columns):
        assert listed(index_of(other).search(query, 20)) == expected


@every_engine
@every_size
def test_hits_of_one_search_outlive_the_next(index_of, size):
    """A caller may keep hits: no search writes over those of another."""
    bank = clustered(500, size)
    index = index_of(bank)
    first = index.search(bank[0].tobytes(), 31)
    kept = listed(first)
    for row in bank[::20]:
        index.search(row.tobytes(), 31)
    assert listed(first) == kept


@every_engine
@every_size
@pytest.mark.parametrize("length", [0, 1, -1, 1000])
def test_queries_of_another_length_are_refused(index_of, size, length):
    """A hash of another algorithm is not searched."""
    query = bytes(size + length if abs(length) == 1 else length)
    with pytest.raises(HashShapeError, match=f"a query has {size} bytes"):
        index_of(np.zeros((3, size), np.uint8)).search(query, 0)


@every_engine
@every_size
@pytest.mark.parametrize("radius", [-1, -(2**40), 2**40, None])
def test_radii_out_of_range_are_refused(index_of, size, radius):
    """A radius is 0 to the number of bits."""
    radius = 8 * size + 1 if radius is None else radius
    for count in (0, 3):
        with pytest.raises(HashShapeError, match="a radius is 0 to"):
            index_of(np.zeros((count, size), np.uint8)).search(bytes(size), radius)


@every_engine
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 7), np.uint8),
        np.zeros((3, 0), np.uint8),
        np.zeros(32, np.uint8),
        np.zeros((3, 32), np.int8),
        np.zeros((3, 4), np.uint64),
        np.zeros((1, 3, 32), np.uint8),
    ],
    ids=lambda wrong: f"{wrong.dtype}{wrong.shape}",
)
def test_codes_of_another_shape_are_refused(index_of, wrong):
    """Codes are rows of bytes."""
    with pytest.raises(HashShapeError, match="codes are uint8"):
        index_of(wrong)


@every_engine
@every_size
def test_threads_searching_at_once_get_the_same_answers(index_of, size):
    """One index serves many threads; scratch space is each search's own."""
    bank = clustered(3000, size)
    bank[:1500] = bank[0]
    index = index_of(bank)
    queries = [row.tobytes() for row in bank[::25]]
    alone = [listed(index.search(query, 31)) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        for together in pool.map(lambda _: [listed(index.search(query, 31)) for query in queries], range(8)):
            assert together == alone


@pytest.mark.parametrize("engine", ENGINES)
@every_size
@pytest.mark.parametrize("count", [0, 1, 32, CROSSOVER - 1, CROSSOVER, CROSSOVER + 1])
def test_a_set_saved_and_opened_gives_the_same_hits(engine, size, count, tmp_path):
    """Before and after the file, with tables in it or not, every engine finds the same."""
    bank = np.unique(clustered(count, size, seed=count), axis=0)
    rows = [row.tobytes() for row in bank]
    builder = HashSetBuilder("set", ALGORITHM_OF[size])
    builder.add_all(Entry(PerceptualHash(ALGORITHM_OF[size], row)) for row in rows)
    builder.write(tmp_path / "set")
    before = CLASSES[engine](bank)
    with HashSet.open(tmp_path / "set") as known:
        after = open_index(known, engine)
        assert after.engine == engine
        assert len(after) == len(rows)
        for query in [*rows[:: max(1, len(rows) // 12)], bytes(size)]:
            for radius in (0, 10, 31):
                hits = listed(after.search(query, radius))
                assert hits == listed(before.search(query, radius))
                if query in rows:
                    assert (rows.index(query), 0) in hits
        del after


def test_the_engine_chosen_is_the_one_named_for_the_count(tmp_path, small_set):
    """Small sets are looked at whole; from CROSSOVER on there are tables."""
    assert [engine_for(count) for count in (0, CROSSOVER - 1, CROSSOVER)] == ["flat", "flat", "multi"]
    assert open_index(small_set).engine == "flat"
    builder = HashSetBuilder("large")
    builder.add_all(Entry(PerceptualHash("pdq", number.to_bytes(32))) for number in range(CROSSOVER))
    builder.write(tmp_path / "large")
    with HashSet.open(tmp_path / "large") as large:
        assert large.tables is not None
        assert open_index(large).engine == "multi"


@pytest.mark.parametrize("engine", ["", "Flat", "hnsw"])
def test_unknown_engines_are_refused_with_the_known_ones(engine, small_set):
    """Whoever mistypes an engine is told those there are."""
    with pytest.raises(UnknownNameError, match=r"no engine named .*; known: auto, flat, multi, compact, faiss"):
        open_index(small_set, engine)


@every_size
@given(data=st.data())
def test_distances_equal_the_oracle(size, data):
    """One hash against a bank, in bank order."""
    bank = data.draw(banks(size))
    query = data.draw(codes(size))
    counted = distances(np.frombuffer(query, np.uint64), bank.view(np.uint64))
    assert counted.dtype == np.uint16
    assert counted.tolist() == [oracle.hamming(row.tobytes(), query) for row in bank]


@pytest.mark.parametrize(
    ("query", "bank"),
    [
        (np.zeros(4, np.int64), np.zeros((2, 4), np.uint64)),
        (np.zeros(4, np.uint64), np.zeros((2, 4), np.uint8)),
        (np.zeros(4, np.uint64), np.zeros((2, 3), np.uint64)),
        (np.zeros((1, 4), np.uint64), np.zeros((2, 4), np.uint64)),
        (np.zeros(4, np.uint64), np.zeros(4, np.uint64)),
    ],
)
def test_distances_of_other_shapes_are_refused(query, bank):
    """Packed words and nothing else."""
    with pytest.raises(HashShapeError, match="a query is uint64"):
        distances(query, bank)
