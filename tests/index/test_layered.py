"""Two indexes searched as one find what one index of what is left would find."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import HashShapeError
from scanner.index.layered import LayeredIndex
from tests import oracle
from tests.index.test_engines import CLASSES, clustered, every_size, listed
from tests.index.test_many import listed_each
from tests.strategies import banks, codes

PAIRS = list(itertools.product(CLASSES, repeat=2))


def positions(drawn: set[int]) -> np.ndarray:
    return np.array(sorted(drawn), np.int64)


def expected(places: list[int], rows: list[bytes], query: bytes, radius: int) -> list[tuple[int, int]]:
    return [(places[at], away) for at, away in oracle.search(rows, query, radius)]


@pytest.mark.parametrize("engines", PAIRS, ids=" then ".join)
@settings(max_examples=15)
@given(data=st.data())
def test_layered_searches_equal_the_oracle(engines, data):
    """Any two engines, any removals, any radius: indices ascending, each query its own, removed ones nowhere."""
    size = 32 if "compact" in engines else data.draw(st.sampled_from([8, 32]))
    below, above = data.draw(banks(size, most=20)), data.draw(banks(size, most=10))
    gone = data.draw(st.sets(st.integers(0, len(below) - 1))) if len(below) else set()
    index = LayeredIndex(CLASSES[engines[0]](below), CLASSES[engines[1]](above), len(below), positions(gone))
    places = [place for place in range(len(below) + len(above)) if place not in gone]
    rows = [row.tobytes() for row in np.concatenate([below, above])[places]]
    strangers = [data.draw(codes(size)), *(row.tobytes() for row in below[:3]), *(row.tobytes() for row in above[:3])]
    radius = data.draw(st.one_of(st.integers(0, 8 * size), st.integers(0, 31)))
    found = [expected(places, rows, query, radius) for query in strangers]
    assert [listed(index.search(query, radius)) for query in strangers] == found
    many = index.search_many(np.frombuffer(b"".join(strangers), np.uint8).reshape(-1, size), radius)
    assert listed_each(many) == found
    assert many.limits.dtype == many.indices.dtype == many.distances.dtype == np.int64
    assert (len(index), index.bits, index.engine) == (len(rows), 8 * size, ", then ".join(engines))


@every_size
@settings(max_examples=30)
@given(data=st.data())
def test_layers_on_layers_equal_the_oracle(size, data):
    """A layered index may itself be below; positions count those removed before."""
    bank = clustered(60, size)
    index = CLASSES["flat"](bank[:20])
    alive = list(range(20))
    for start, end in ((20, 35), (35, 50), (50, 60)):
        gone = data.draw(st.sets(st.sampled_from(alive), max_size=8)) if alive else set()
        index = LayeredIndex(index, CLASSES["flat"](bank[start:end]), start, positions(gone))
        alive = [place for place in alive if place not in gone] + list(range(start, end))
        assert len(index) == len(alive)
    rows = [bank[place].tobytes() for place in alive]
    queries = bank[:: data.draw(st.integers(1, 9))]
    for radius in (0, 12, 31):
        found = [expected(alive, rows, query.tobytes(), radius) for query in queries]
        assert [listed(index.search(query.tobytes(), radius)) for query in queries] == found
        assert listed_each(index.search_many(queries, radius)) == found


@every_size
def test_an_index_with_everything_removed_finds_nothing(size):
    """No hit is left over from the index below."""
    bank = clustered(40, size)
    index = LayeredIndex(CLASSES["multi"](bank), CLASSES["flat"](bank[:0]), 40, np.arange(40))
    assert len(index) == 0
    assert listed(index.search(bank[0].tobytes(), 8 * size)) == []
    assert index.search_many(bank, 8 * size).limits.tolist() == [0] * 41


@every_size
def test_no_queries_have_no_hits(size):
    """A batch may be empty."""
    bank = clustered(5, size)
    index = LayeredIndex(CLASSES["flat"](bank), CLASSES["flat"](bank), 5, positions({1}))
    many = index.search_many(bank[:0], 31)
    assert (many.limits.tolist(), len(many.indices), len(many.distances)) == ([0], 0, 0)


@every_size
def test_queries_that_do_not_fit_are_refused(size):
    """Errors are those of the engines below."""
    bank = clustered(5, size)
    index = LayeredIndex(CLASSES["flat"](bank), CLASSES["multi"](bank), 5, positions({1}))
    with pytest.raises(HashShapeError, match="a query has"):
        index.search(bytes(size + 1), 0)
    with pytest.raises(HashShapeError, match="a query has"):
        index.search_many(np.zeros((2, 40 - size), np.uint8), 0)
    for radius in (-1, 8 * size + 1):
        with pytest.raises(HashShapeError, match="a radius is"):
            index.search(bytes(size), radius)
        with pytest.raises(HashShapeError, match="a radius is"):
            index.search_many(bank, radius)
