"""Two hashes on the same pictures: the difference of their recalls.

Rules: both see the same draw of source clusters, so what is hard for both cancels; the same seed gives the same
interval.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from benchmarks.accuracy.bootstrap import check_draws
from benchmarks.accuracy.clusters import numbered
from benchmarks.accuracy.intervals import Estimate, clopper_pearson
from scanner.errors import ArgumentError


def recall_difference(
    first_found: ArrayLike,
    second_found: ArrayLike,
    clusters: ArrayLike,
    *,
    level: float = 0.95,
    replicates: int = 4000,
    seed: int = 0,
) -> Estimate:
    """Recall of a first hash less that of a second on the same pictures: both see the same draw of source clusters.

    Source: the paired bootstrap, after Efron and Tibshirani 1993, An Introduction to the Bootstrap; the percentile
    interval is widened for few clusters as in Hesterberg 2015, The American Statistician 69:371. If no cluster tells
    the two apart, the bound is the exact one on how many clusters could.

    Args:
        first_found: whether the first hash found each picture; shape ``(n,)``, bool.
        second_found: likewise of the second, same pictures in the same order.
        clusters: label of each picture's source; shape ``(n,)``.
        level: over 0 and under 1.
        replicates: draws; at least 100.
        seed: of the draws.

    Raises:
        ArgumentError: shapes differ, under 10 clusters, or a value is outside the above.
    """
    one, two, labels = np.asarray(first_found, bool), np.asarray(second_found, bool), numbered(clusters)
    if one.ndim != 1 or not one.shape == two.shape == labels.shape:
        raise ArgumentError(f"shapes differ: found {one.shape} and {two.shape}, clusters {labels.shape}")
    sizes = np.bincount(labels)
    count = len(sizes)
    check_draws(count, level, replicates)
    ahead, behind = int((one & ~two).sum()), int((two & ~one).sum())
    note = f"{ahead:,} pictures found by the first alone, {behind:,} by the second alone, of {len(one):,}"
    if ahead + behind == 0:
        high = clopper_pearson(0, count, level).high
        return Estimate(0.0, -high, high, level, count, f"{note}; Clopper-Pearson of clusters that differ")
    differences = np.bincount(labels, one.astype(np.int64) - two).astype(np.int64)
    kinds, each = np.unique(np.column_stack([differences, sizes]), axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(count, each / count, size=replicates)
    found = (draws @ kinds[:, 0]) / (draws @ kinds[:, 1])
    tail = (1 - level) / 2
    wider = math.sqrt(count / (count - 1)) * float(special.stdtrit(count - 1, tail) / special.ndtri(tail))
    low, high = np.quantile(found, special.ndtr(wider * special.ndtri([tail, 1 - tail]))).tolist()
    estimate = (ahead - behind) / len(one)
    return Estimate(
        estimate,
        min(estimate, low),
        max(estimate, high),
        level,
        count,
        f"{note}; paired bootstrap, {replicates:,} draws",
    )
