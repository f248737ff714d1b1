"""Counting the pairs at each distance equals measuring them one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import HashShapeError
from scanner.index import distance_histogram
from tests import oracle
from tests.index.test_engines import clustered, every_size
from tests.strategies import banks


@every_size
@settings(max_examples=30)
@given(data=st.data())
def test_pairs_are_counted_as_the_oracle_measures_them(size, data):
    """Across two banks every pair counts, within one each pair once and none with itself."""
    left, right = data.draw(banks(size, most=20)), data.draw(banks(size, most=20))
    across = [oracle.hamming(one.tobytes(), other.tobytes()) for one in left for other in right]
    within = [oracle.hamming(left[i].tobytes(), left[j].tobytes()) for i in range(len(left)) for j in range(i)]
    bins = 8 * size + 1
    np.testing.assert_array_equal(distance_histogram(left, right), np.bincount(np.array(across, int), minlength=bins))
    np.testing.assert_array_equal(distance_histogram(left), np.bincount(np.array(within, int), minlength=bins))


@every_size
@pytest.mark.parametrize("count", [1023, 1024, 1025, 2051])
def test_banks_of_several_blocks_are_counted_whole(size, count):
    """No pair is lost or counted twice where a block ends."""
    bank = clustered(count, size)
    ones = np.unpackbits(bank, axis=1).astype(np.int64)
    weight = ones.sum(axis=1)
    between = weight[:, None] + weight[None, :] - 2 * (ones @ ones.T)
    np.testing.assert_array_equal(
        distance_histogram(bank), np.bincount(between[np.triu_indices(count, 1)], minlength=8 * size + 1)
    )
    np.testing.assert_array_equal(
        distance_histogram(bank[:37], bank), np.bincount(between[:37].ravel(), minlength=8 * size + 1)
    )


def test_hashes_of_another_length_have_no_histogram():
    """Bits compare within one length only."""
    with pytest.raises(HashShapeError, match="have no distance"):
        distance_histogram(np.zeros((2, 8), np.uint8), np.zeros((2, 32), np.uint8))
    with pytest.raises(HashShapeError, match="codes are uint8"):
        distance_histogram(np.zeros((2, 16), np.uint8))
