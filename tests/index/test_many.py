"""Searching many hashes at once finds what searching each alone finds."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import HashShapeError
from scanner.index.multi import CompactIndex, MultiIndex
from tests import oracle
from tests.conftest import run_python
from tests.index.test_engines import CLASSES, clustered, every_engine, every_size, listed
from tests.strategies import banks


def listed_each(many) -> list[list[tuple[int, int]]]:
    """The hits of each query as the oracle gives them."""
    pairs = list(zip(many.indices.tolist(), many.distances.tolist(), strict=True))
    return [pairs[start:end] for start, end in zip(many.limits[:-1], many.limits[1:], strict=True)]


@every_engine
@every_size
@settings(max_examples=25)
@given(data=st.data())
def test_many_searches_equal_the_oracle(index_of, size, data):
    """For any set, any queries and any radius, each query has its own hits, indices ascending."""
    bank = data.draw(banks(size))
    strangers = data.draw(banks(size, most=5))
    order = data.draw(st.permutations(range(len(bank) + len(strangers))))
    queries = np.concatenate([bank, strangers])[order]
    radius = data.draw(st.one_of(st.integers(0, 8 * size), st.integers(0, 31)))
    rows = [row.tobytes() for row in bank]
    many = index_of(bank).search_many(queries, radius)
    assert listed_each(many) == [oracle.search(rows, query.tobytes(), radius) for query in queries]
    assert many.limits.dtype == many.indices.dtype == many.distances.dtype == np.int64
    assert many.limits[0] == 0
    assert many.limits[-1] == len(many.indices)


@every_engine
@every_size
@pytest.mark.parametrize("count", [0, 1, 16, 2100])
@pytest.mark.parametrize("asked", [0, 1, 32, 33, 150])
def test_many_equal_one_at_a_time(index_of, size, count, asked):
    """Sets and batches of every awkward count, small and large radii."""
    bank = clustered(count, size, seed=count)
    strangers = np.random.default_rng(asked).integers(0, 256, (asked, size), np.uint8)
    queries = np.concatenate([bank[: asked // 2], strangers])[:asked]
    index = index_of(bank)
    for radius in (0, 15, 31, 63, 64):
        alone = [listed(index.search(query.tobytes(), radius)) for query in queries]
        assert listed_each(index.search_many(queries, radius)) == alone


@every_engine
@every_size
def test_no_hit_of_many_is_lost(index_of, size):
    """Room for hits grows as needed: every query finds every entry of a set of one hash repeated."""
    bank = np.full((3000, size), 7, np.uint8)
    many = index_of(bank).search_many(bank[:50], 31)
    assert many.limits.tolist() == [3000 * number for number in range(51)]
    np.testing.assert_array_equal(many.indices, np.tile(np.arange(3000), 50))
    assert not many.distances.any()


@every_engine
@every_size
def test_queries_may_lie_anywhere(index_of, size):
    """Unaligned, strided and read-only queries give the same hits."""
    bank = clustered(300, size)
    index = index_of(bank)
    expected = listed_each(index.search_many(bank[::2], 20))
    unaligned = np.frombuffer(b"x" + bank[::2].tobytes(), np.uint8, offset=1).reshape(-1, size)
    for queries in (unaligned, bank[::2].copy(), np.asfortranarray(bank[::2])):
        assert listed_each(index.search_many(queries, 20)) == expected


@every_engine
@every_size
def test_queries_of_another_shape_are_refused(index_of, size):
    """Queries are rows of bytes as long as the set's; a radius is 0 to the number of bits."""
    index = index_of(np.zeros((3, size), np.uint8))
    for wrong in (
        np.zeros((2, 40 - size), np.uint8),
        np.zeros((2, size - 1), np.uint8),
        np.zeros(size, np.uint8),
        np.zeros((2, size), np.int8),
        np.zeros((2, size // 8), np.uint64),
    ):
        with pytest.raises(HashShapeError):
            index.search_many(wrong, 0)
    for radius in (-1, 8 * size + 1):
        with pytest.raises(HashShapeError, match="a radius is 0 to"):
            index.search_many(np.zeros((2, size), np.uint8), radius)


@every_engine
@every_size
def test_threads_searching_many_at_once_get_the_same_answers(index_of, size):
    """One index serves many threads."""
    bank = clustered(2500, size)
    index = index_of(bank)
    alone = listed_each(index.search_many(bank[::10], 31))
    with ThreadPoolExecutor(8) as pool:
        for together in pool.map(lambda _: listed_each(index.search_many(bank[::10], 31)), range(16)):
            assert together == alone


SCRIPT = """
import json
import numba
from tests.index.test_engines import CLASSES, clustered
from tests.index.test_many import listed_each

assert numba.config.DISABLE_JIT
out = []
for size in (8, 32):
    bank = clustered(90, size)
    for engine in ("flat", "multi"):
        for radius in (0, 9, 31, 64):
            out.append(listed_each(CLASSES[engine](bank).search_many(bank[::9], radius)))
print(json.dumps(out))
"""


def test_kernels_give_the_same_with_the_compiler_off():
    """Many searches are equal with the JIT on and off."""
    expected = []
    for size in (8, 32):
        bank = clustered(90, size)
        for engine in ("flat", "multi"):
            expected += [
                [
                    [list(hit) for hit in hits]
                    for hits in listed_each(CLASSES[engine](bank).search_many(bank[::9], radius))
                ]
                for radius in (0, 9, 31, 64)
            ]
    assert json.loads(run_python(SCRIPT, NUMBA_DISABLE_JIT="1")) == expected


@pytest.mark.parametrize("kind", ["random", "structured"])
@pytest.mark.parametrize("radius", [0, 7, 15, 16, 31, 32, 47, 48, 63, 64])
def test_ten_thousand_queries_equal_plain_numpy(kind, radius):
    """A thousand queries at each radius class, on each kind of data, by both engines with tables."""
    random = np.random.default_rng(radius)
    bank = random.integers(0, 256, (3000, 32), np.uint8) if kind == "random" else clustered(3000, 32, seed=radius)
    queries = bank[random.integers(0, len(bank), 1000)].copy()
    for query in queries:
        bits = np.unpackbits(query)
        bits[random.choice(256, random.integers(0, 70), replace=False)] ^= 1
        query[:] = np.packbits(bits)
    words, asked = bank.view(np.uint64), queries.view(np.uint64)
    distances = np.bitwise_count(asked[:, None, :] ^ words[None]).sum(axis=2, dtype=np.int64)
    owners, indices = np.nonzero(distances <= radius)
    for index in (MultiIndex(bank), CompactIndex(bank)):
        hits = index.search_many(queries, radius)
        np.testing.assert_array_equal(np.repeat(np.arange(1000), np.diff(hits.limits)), owners)
        np.testing.assert_array_equal(hits.indices, indices)
        np.testing.assert_array_equal(hits.distances, distances[owners, indices])
