"""A search with a limit gives so many hits at most and says whether there were more; one without gives them all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import HashShapeError
from scanner.index.faiss import FaissIndex
from scanner.index.flat import FlatIndex
from scanner.index.layered import LayeredIndex
from scanner.index.multi import MultiIndex
from tests import oracle
from tests.index.test_engines import clustered, every_engine, every_size, listed
from tests.strategies import banks, codes


@every_engine
@every_size
@given(data=st.data())
def test_limited_hits_are_some_of_all_hits(index_of, size, data):
    """Complete exactly when no hit is left out; ascending and right in any case."""
    bank = data.draw(banks(size))
    query = bank[data.draw(st.integers(0, len(bank) - 1))].tobytes() if len(bank) else data.draw(codes(size))
    radius = data.draw(st.integers(0, 8 * size))
    limit = data.draw(st.integers(1, len(bank) + 1))
    hits = index_of(bank).search(query, radius, limit)
    found = oracle.search([row.tobytes() for row in bank], query, radius)
    assert len(hits.indices) == min(limit, len(found))
    assert hits.complete == (len(found) <= limit)
    assert set(listed(hits)) <= set(found)
    assert np.all(np.diff(hits.indices) > 0)


@every_engine
@every_size
@pytest.mark.parametrize("limit", [1, 7, 1023, 1024, 1025, 1999, 2000, 2001, 9999, 1 << 40])
def test_limits_around_the_room_for_hits(index_of, size, limit):
    """Two thousand near copies among others, asked for with limits below, at and above what fits at once."""
    bank = clustered(3000, size)
    copies = np.random.default_rng(1).permutation(3000)[:2000]
    bank[copies] = bank[0]
    bank[copies, -1] ^= (1 << (np.arange(2000) % 8)).astype(np.uint8)
    query = bank[copies[0]].tobytes()
    everything = listed(FaissIndex(bank).search(query, 4))
    hits = index_of(bank).search(query, 4, limit)
    assert len(hits.indices) == min(limit, len(everything))
    assert hits.complete == (limit >= len(everything))
    assert set(listed(hits)) <= set(everything)


@pytest.mark.parametrize("index_of", [FlatIndex, MultiIndex])
@pytest.mark.parametrize("copies", [1024, 1025, 8192, 8193, 40_000, 70_000])
def test_many_hits_are_all_found(index_of, copies):
    """Numbers of hits at which the room for them grows, and at which a scan takes over."""
    random = np.random.default_rng(copies)
    bank = random.integers(0, 256, (200_000, 32), np.uint8)
    where = np.sort(random.permutation(len(bank))[:copies])
    bank[where] = bank[where[0]]
    bank[where, 5] ^= random.integers(0, 256, copies, np.uint8)
    hits = index_of(bank).search(bank[where[0]].tobytes(), 31)
    assert hits.complete
    assert np.array_equal(hits.indices, where)
    assert np.array_equal(hits.distances, np.bitwise_count(bank[where] ^ bank[where[0]]).sum(axis=1))


@every_size
def test_removed_entries_take_no_place_under_a_limit(size):
    """A layered search gives the limit's number of hits while there are as many."""
    bank = np.zeros((30, size), np.uint8)
    index = LayeredIndex(MultiIndex(bank), FlatIndex(bank[:5]), 30, np.arange(20))
    for limit in (1, 9, 10, 14):
        hits = index.search(bytes(size), 0, limit)
        assert (len(hits.indices), hits.complete) == (limit, False)
        assert hits.indices.min() >= 20
    assert index.search(bytes(size), 0, 15).complete
    assert index.search(bytes(size), 0, 15).indices.tolist() == list(range(20, 35))


@every_engine
@every_size
@pytest.mark.parametrize("limit", [0, -1])
def test_limits_below_one_are_refused(index_of, size, limit):
    """Nothing can be found in no places."""
    with pytest.raises(HashShapeError, match=f"a limit is 1 or more, not {limit}"):
        index_of(clustered(10, size)).search(bytes(size), 3, limit)
