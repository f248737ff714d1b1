"""Clusters of pictures that show the same thing, and the false matches counted between them.

Rules: a cluster is what is drawn anew when a study is repeated, so it is the unit of every interval; pairs inside a
cluster are no false matches and count nowhere; only pairs near enough are held, one row a pair of clusters and
distance, and the number of all pairs follows from the clusters' sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scanner.errors import ArgumentError

Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClusterPairs:
    """How many pairs of pictures, of two clusters, lie at a distance: what an interval of the FMR is made from.

    Attributes:
        first, second: numbers of the two clusters; shape ``(k,)``, int64. Of one collection: ``first < second``.
        distance: of the pairs, in bits, ascending; shape ``(k,)``, int64.
        count: pairs of pictures; shape ``(k,)``, int64, at least 1.
        sizes: pictures in each cluster of the collection, or of the queries; shape ``(c,)``, int64, at least 1.
        list_sizes: pictures in each cluster of the list; None if pairs are taken within one collection.
        reach: every pair up to this distance is held, and none beyond.
    """

    first: Whole
    second: Whole
    distance: Whole
    count: Whole
    sizes: Whole
    list_sizes: Whole | None
    reach: int

    @property
    def pairs(self) -> int:
        """All pairs of pictures of different clusters, near or not."""
        total = int(self.sizes.sum())
        if self.list_sizes is not None:
            return total * int(self.list_sizes.sum())
        return (total * total - int((self.sizes * self.sizes).sum())) // 2

    def hits(self, radius: int) -> int:
        """Pairs of pictures at this distance or nearer.

        Raises:
            ArgumentError: the radius is over ``reach``, so that not all are held.
        """
        return int(self.count[: self.end_of(radius)].sum())

    def end_of(self, radius: int) -> int:
        """Rows at this distance or nearer; they are the first ones.

        Raises:
            ArgumentError: as for ``hits``.
        """
        if not 0 <= radius <= self.reach:
            raise ArgumentError(f"radius {radius} is not 0 to {self.reach}, the distance to which pairs were kept")
        return int(np.searchsorted(self.distance, radius, side="right"))

    def check(self, histogram: ArrayLike, radii: Sequence[int]) -> None:
        """Refuse a histogram of other pairs: it has as many as these, in all and to each radius.

        Args:
            histogram: pairs at each distance; shape ``(bits + 1,)``, whole numbers.
            radii: in bits.

        Raises:
            ArgumentError: the counts differ, or a radius is over ``reach``.
        """
        counts = _whole(histogram, "histogram")
        if int(counts.sum()) != self.pairs:
            raise ArgumentError(
                f"the histogram holds {int(counts.sum()):,} pairs, the clusters make {self.pairs:,}: leave out the "
                "pairs inside clusters"
            )
        for radius in radii:
            if (counted := int(counts[: radius + 1].sum())) != self.hits(radius):
                raise ArgumentError(f"radius {radius}: the histogram has {counted:,} pairs, not {self.hits(radius):,}")


def clusters_from_links(pictures: int, first: ArrayLike, second: ArrayLike) -> Whole:
    """Put linked pictures, and all that are linked to them in turn, in one cluster.

    Single linkage: a chain of near copies is one cluster, so clusters come out too large rather than too small, and
    intervals too wide rather than too narrow.

    Args:
        pictures: how many there are.
        first: number of one of two linked pictures; shape ``(k,)``, 0 to ``pictures - 1``.
        second: number of the other; shape ``(k,)``.

    Returns:
        cluster of each picture, numbered from 0 in the order of their first pictures; shape ``(pictures,)``, int64.

    Raises:
        ArgumentError: a number is outside the above, or the two differ in length.
    """
    left, right = _whole(first, "first"), _whole(second, "second")
    _same_length(first=left, second=right)
    _inside(left, pictures, "first")
    _inside(right, pictures, "second")
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(pictures, pictures))
    found = connected_components(graph, directed=False)[1] if pictures else np.zeros(0, np.int64)
    return numbered(found)


def numbered(labels: ArrayLike) -> Whole:
    """Number labels of any kind from 0, in the order in which they first appear.

    Args:
        labels: shape ``(n,)``; whole numbers or strings.
    """
    _, starts, inverse = np.unique(np.asarray(labels), return_index=True, return_inverse=True)
    rank = np.empty(len(starts), np.int64)
    rank[np.argsort(starts)] = np.arange(len(starts))
    return rank[inverse.ravel()]


def first_of_each(clusters: ArrayLike) -> Whole:
    """Choose one picture of each cluster, the first, so that what is counted of them is independent.

    Args:
        clusters: label of each picture; shape ``(n,)``.

    Returns:
        numbers of the pictures, ascending; int64.
    """
    found: Whole = np.sort(np.unique(np.asarray(clusters), return_index=True)[1]).astype(np.int64)
    return found


def pairs_within(
    first: ArrayLike, second: ArrayLike, distance: ArrayLike, clusters: ArrayLike, *, reach: int
) -> ClusterPairs:
    """Count the near pairs of one collection by clusters.

    Args:
        first: number of one picture of each pair, each pair once; shape ``(k,)``.
        second: number of the other; shape ``(k,)``.
        distance: of the pairs, in bits; shape ``(k,)``. Those over ``reach`` are left out.
        clusters: of each picture, numbered from 0 without gaps; shape ``(n,)``.
        reach: ``first`` and ``second`` hold every pair to this distance.

    Raises:
        ArgumentError: a number is outside the above, a picture is paired with itself, a pair is given twice, or there
            are under two clusters.
    """
    labels = _labels(clusters, "clusters")
    if len(labels) == 0 or labels.max() == 0:
        raise ArgumentError("pairs need pictures of at least two clusters")
    left, right, far = _whole(first, "first"), _whole(second, "second"), _whole(distance, "distance")
    _same_length(first=left, second=right, distance=far)
    _inside(left, len(labels), "first")
    _inside(right, len(labels), "second")
    if np.any(left == right):
        raise ArgumentError(f"picture {left[left == right][0]} is paired with itself")
    _once(np.minimum(left, right) * len(labels) + np.maximum(left, right))
    one, two = labels[left], labels[right]
    kept = one != two
    low, high = np.minimum(one, two)[kept], np.maximum(one, two)[kept]
    return _counted(low, high, far[kept], np.bincount(labels), None, reach)


def pairs_between(
    query: ArrayLike,
    entry: ArrayLike,
    distance: ArrayLike,
    query_clusters: ArrayLike,
    entry_clusters: ArrayLike,
    *,
    reach: int,
) -> ClusterPairs:
    """Count the near pairs of queries and the entries of a list, by clusters of each.

    Queries and list are taken to share no cluster: leave out the queries that the list has a copy of.

    Args:
        query: number of the query of each pair, each pair once; shape ``(k,)``.
        entry: number of the entry; shape ``(k,)``.
        distance: of the pairs, in bits; shape ``(k,)``. Those over ``reach`` are left out.
        query_clusters: of each query, numbered from 0 without gaps; shape ``(n,)``.
        entry_clusters: of each entry, likewise; shape ``(m,)``.
        reach: ``query`` and ``entry`` hold every pair to this distance.

    Raises:
        ArgumentError: a number is outside the above, a pair is given twice, or there are no pictures.
    """
    rows, columns = _labels(query_clusters, "query_clusters"), _labels(entry_clusters, "entry_clusters")
    if len(rows) == 0 or len(columns) == 0:
        raise ArgumentError("pairs need a query and an entry")
    left, right, far = _whole(query, "query"), _whole(entry, "entry"), _whole(distance, "distance")
    _same_length(query=left, entry=right, distance=far)
    _inside(left, len(rows), "query")
    _inside(right, len(columns), "entry")
    _once(left * len(columns) + right)
    return _counted(rows[left], columns[right], far, np.bincount(rows), np.bincount(columns), reach)


def _counted(
    first: Whole, second: Whole, distance: Whole, sizes: Whole, list_sizes: Whole | None, reach: int
) -> ClusterPairs:
    if reach < 0 or np.any(distance < 0):
        raise ArgumentError("a distance in bits is not below 0")
    near = distance <= reach
    width = len(sizes if list_sizes is None else list_sizes)
    keys, counts = np.unique((distance[near] * len(sizes) + first[near]) * width + second[near], return_counts=True)
    rest, columns = np.divmod(keys, width)
    distances, rows = np.divmod(rest, len(sizes))
    return ClusterPairs(rows, columns, distances, counts.astype(np.int64), sizes, list_sizes, reach)


def _whole(values: ArrayLike, name: str) -> Whole:
    found = np.asarray(values)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ArgumentError(f"{name}: expected whole numbers of shape (n,), not {found.dtype} of {found.shape}")
    return found.astype(np.int64)


def _labels(values: ArrayLike, name: str) -> Whole:
    found = _whole(values, name)
    if len(found) and (found.min() < 0 or not np.bincount(found).all()):
        raise ArgumentError(f"{name}: clusters are not numbered from 0 without gaps; number them first")
    return found


def _same_length(**arrays: Whole) -> None:
    if len({len(array) for array in arrays.values()}) > 1:
        raise ArgumentError(f"{', '.join(arrays)} differ in length: {', '.join(str(len(a)) for a in arrays.values())}")


def _inside(numbers: Whole, end: int, name: str) -> None:
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < end):
        raise ArgumentError(f"{name}: a picture's number is not 0 to {end - 1}")


def _once(keys: Whole) -> None:
    if len(np.unique(keys)) != len(keys):
        raise ArgumentError("a pair of pictures is given twice")
