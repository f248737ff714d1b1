"""Clusters, and pairs counted by them, against the obvious way to do it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.clusters import clusters_from_links, first_of_each, numbered, pairs_between, pairs_within
from scanner.errors import ArgumentError

links = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12)


@given(given_links=links)
def test_linked_pictures_are_one_cluster_and_no_others(given_links):
    """Two pictures are in one cluster if and only if links join them; clusters are numbered as they come."""
    joined = np.eye(12, dtype=bool)
    for a, b in given_links:
        joined[a, b] = joined[b, a] = True
    for _ in range(4):
        joined = (joined.astype(int) @ joined) > 0
    found = clusters_from_links(12, [a for a, _ in given_links], [b for _, b in given_links])
    assert ((found[:, None] == found) == joined).all()
    assert [int(x) for x in dict.fromkeys(found.tolist())] == list(range(found.max() + 1))


def test_labels_of_any_kind_are_numbered_as_they_come():
    """The first label is 0 and the next new one 1, whatever they are called."""
    assert numbered(["z", "a", "z", "b"]).tolist() == [0, 1, 0, 2]
    assert clusters_from_links(0, [], []).tolist() == []
    assert first_of_each(["z", "a", "z", "b"]).tolist() == [0, 1, 3]


@given(st.integers(0, 2**32 - 1))
def test_pairs_of_one_collection_are_counted_by_clusters_and_distance(seed):
    """Rows hold each near pair of different clusters once; ``pairs`` is all of them, near or not."""
    rng = np.random.default_rng(seed)
    labels = numbered(rng.integers(0, 5, 12))
    if labels.max() == 0:
        return
    first, second = np.triu_indices(12, 1)
    swapped = rng.random(len(first)) < 0.5
    first, second = np.where(swapped, second, first), np.where(swapped, first, second)
    far = rng.integers(0, 9, len(first))
    found = pairs_within(first, second, far, labels, reach=5)
    counted: dict[tuple[int, int, int], int] = {}
    apart = 0
    for a, b, d in zip(first, second, far, strict=True):
        if labels[a] != labels[b]:
            apart += 1
            if d <= 5:
                key = (int(d), *sorted((int(labels[a]), int(labels[b]))))
                counted[key] = counted.get(key, 0) + 1
    rows = zip(found.distance.tolist(), found.first.tolist(), found.second.tolist(), strict=True)
    assert dict(zip(rows, found.count.tolist(), strict=True)) == counted
    assert found.pairs == apart
    assert found.distance.tolist() == sorted(found.distance.tolist())
    different = labels[first] != labels[second]
    for radius in range(6):
        assert found.hits(radius) == int((different & (far <= radius)).sum())
    found.check(np.bincount(far[different], minlength=9), range(6))


def test_pairs_of_queries_and_a_list_are_counted_by_clusters_of_each():
    """Equal numbers on the two sides are different clusters; distances beyond the reach are left out."""
    found = pairs_between([0, 1, 2, 2], [0, 0, 1, 0], [3, 3, 4, 9], [0, 0, 1], [0, 1], reach=4)
    rows = zip(found.distance.tolist(), found.first.tolist(), found.second.tolist(), found.count.tolist(), strict=True)
    assert list(rows) == [(3, 0, 0, 2), (4, 1, 1, 1)]
    assert (found.pairs, found.hits(3), found.hits(4)) == (6, 2, 3)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: pairs_within([0], [0], [1], [0, 1], reach=3), "paired with itself"),
        (lambda: pairs_within([0, 1], [1, 0], [1, 1], [0, 1], reach=3), "given twice"),
        (lambda: pairs_within([0], [2], [1], [0, 1], reach=3), "not 0 to 1"),
        (lambda: pairs_within([0], [1], [1], [0, 0], reach=3), "two clusters"),
        (lambda: pairs_within([0], [1], [1], [0, 2], reach=3), "without gaps"),
        (lambda: pairs_within([0], [1], [-1], [0, 1], reach=3), "below 0"),
        (lambda: pairs_within([0], [1], [1, 2], [0, 1], reach=3), "differ in length"),
        (lambda: pairs_within([0.5], [1], [1], [0, 1], reach=3), "whole numbers"),
        (lambda: pairs_between([], [], [], [], [], reach=3), "a query and an entry"),
        (lambda: pairs_within([0], [1], [1], [0, 1], reach=3).hits(4), "to which pairs were kept"),
        (lambda: pairs_within([0], [1], [1], [0, 1], reach=3).check([0, 2], [1]), "leave out"),
        (lambda: pairs_within([0], [1], [1], [0, 1], reach=3).check([1, 0], [0]), "has 1 pairs, not 0"),
        (lambda: clusters_from_links(3, [0], [3]), "not 0 to 2"),
    ],
)
def test_what_cannot_be_counted_is_refused(make, reason):
    """Each wrong input is named instead of counted."""
    with pytest.raises(ArgumentError, match=reason):
        make()
