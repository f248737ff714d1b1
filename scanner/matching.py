"""Hits of a picture's or a video's frames to matches.

Rules, in the manner of vPDQ: frames that are too flat, and repeated ones, are not counted. A picture on the list
matches if any frame is within the radius of it. A video on the list matches if enough of the sent frames are near
frames of it, and enough of its frames near sent ones; it is told once, by its nearest frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scanner.hashset import HashSet, LayeredSet
from scanner.index import Index
from scanner.profiles import VideoRule
from scanner.types import HashedFrame, Match, VideoMatch

MOST_MATCHES = 1000
"""A verdict names so many entries at most, the nearest: a list of copies must not hold up a picture."""

Numbers = npt.NDArray[np.int64]


def find_matches(
    frames: Sequence[HashedFrame], known: HashSet | LayeredSet, index: Index, rule: VideoRule
) -> list[tuple[Match, HashedFrame]]:
    """Search frames and make matches of what is found.

    Args:
        frames: the frames that are not too flat, no two with the same hash.
        known: the hash set.
        index: opened of it.
        rule: when a video on the list matches.

    Returns:
        at most :data:`MOST_MATCHES` matches, the nearest first, ties by lowest index, each with the frame it is of.
    """
    owners, indices, distances = _search(frames, index, known.header.radius)
    if not len(indices):
        return []
    clusters = known.clusters_at(indices)
    lengths = known.video_frames(clusters)
    order = np.lexsort((owners, indices, distances))  # of the hits, nearest first
    found: list[tuple[np.int64, VideoMatch | None]] = [
        (hit, None) for hit in _first_of_each(order[lengths[order] == 0], indices)[:MOST_MATCHES]
    ]
    for hits in _by_cluster(order[lengths[order] > 0], clusters):
        video = VideoMatch(
            len(np.unique(owners[hits])) / len(frames),
            min(1.0, len(np.unique(indices[hits])) / int(lengths[hits[0]])),
        )
        if video.sent >= rule.least_sent and video.known >= rule.least_known:
            found.append((hits[0], video))
    found.sort(key=lambda one: (distances[one[0]], indices[one[0]]))
    return [
        (
            replace(
                known.match_at(int(indices[hit]), int(distances[hit])),
                seconds=frames[owners[hit]].seconds,
                video=video,
            ),
            frames[owners[hit]],
        )
        for hit, video in found[:MOST_MATCHES]
    ]


def _search(frames: Sequence[HashedFrame], index: Index, radius: int) -> tuple[Numbers, Numbers, Numbers]:
    """Every hit: the frame's number, the entry's, the distance."""
    if len(frames) == 1:  # one search is quicker than a batch of one
        hits = index.search(frames[0].hash.data, radius)
        return np.zeros(len(hits.indices), np.int64), hits.indices, hits.distances
    codes = np.frombuffer(b"".join(frame.hash.data for frame in frames), np.uint8).reshape(len(frames), -1)
    many = index.search_many(codes, radius)
    return np.repeat(np.arange(len(frames)), np.diff(many.limits)), many.indices, many.distances


def _first_of_each(hits: Numbers, indices: Numbers) -> Numbers:
    """The first hit of each entry, in order."""
    _, first = np.unique(indices[hits], return_index=True)
    return hits[np.sort(first)]


def _by_cluster(hits: Numbers, clusters: npt.NDArray[np.uint64]) -> list[Numbers]:
    """The hits of each cluster, in order."""
    if not len(hits):
        return []
    hits = hits[np.argsort(clusters[hits], kind="stable")]
    return np.split(hits, np.flatnonzero(np.diff(clusters[hits])) + 1)
