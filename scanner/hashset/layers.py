"""A new epoch as a delta: a large base stays as it is, a small file adds and removes, both are searched as one.

Rules: a delta names its base by digest and fits no other; positions in the base keep their meaning, added entries come
after them; a delta's digest names the whole, since it names the base.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.errors import ArgumentError, HashSetError
from scanner.hashset.builder import HashSetBuilder
from scanner.hashset.calibration import Calibration
from scanner.hashset.entry import Entry
from scanner.hashset.format import Header
from scanner.hashset.reader import Check, HashSet
from scanner.index import Index
from scanner.profiles import AlgorithmSettings
from scanner.types import Match, PerceptualHash


class LayeredSet:
    """A set with a delta on top; offers what :class:`HashSet` offers to a scanner. Open one with :func:`open_layers`.

    Args:
        below: the base, a set or a layered set itself.
        above: the delta.

    Attributes:
        header, digest: of the whole; the count is of entries that count.
        calibration: of the whole, which is the delta's: what was measured of the base alone says nothing of it.
        positions: number of positions an index may name.
        gone: positions that no longer count, in this layer and below; ascending, int64.

    Raises:
        HashSetError: the delta belongs to another base, or does not fit it.
    """

    def __init__(self, below: HashSet | LayeredSet, above: HashSet) -> None:
        if above.header.base != below.digest.hex():
            raise HashSetError(f"the delta {above.header.name} epoch {above.header.epoch} belongs to another base")
        if above.header.algorithm != below.header.algorithm or above.header.epoch <= below.header.epoch:
            raise HashSetError("the delta's algorithm or epoch does not follow its base's")
        removed = above.removed()
        within = not len(removed) or (removed[0] >= 0 and removed[-1] < below.positions)
        if not within or not (removed[1:] > removed[:-1]).all():
            raise HashSetError("the delta removes entries that the base does not have")
        if np.isin(removed, below.gone).any():
            raise HashSetError("the delta removes entries that were removed before")
        self._removed = removed
        self.below = below
        self.above = above
        self.gone: npt.NDArray[np.int64] = np.union1d(below.gone, removed)
        self.digest: bytes = above.digest
        self.calibration: Calibration | None = above.calibration
        self.positions: int = below.positions + len(above)
        self.header: Header = replace(above.header, count=len(below) - len(removed) + len(above))

    def __len__(self) -> int:
        return self.header.count

    @property
    def settings(self) -> AlgorithmSettings:
        """As :attr:`HashSet.settings`."""
        return self.above.settings

    def ensure_verified(self) -> None:
        """As :meth:`HashSet.ensure_verified`, for every layer."""
        self.below.ensure_verified()
        self.above.ensure_verified()

    def open_index(self, engine: str = "auto") -> Index:
        """Make both layers searchable as one; errors as for :func:`scanner.open_index`."""
        from scanner.index.layered import LayeredIndex

        below = self.below.open_index(engine)
        return LayeredIndex(below, self.above.open_index(engine), self.below.positions, self._removed)

    def hash_at(self, index: int) -> PerceptualHash:
        """As :meth:`HashSet.hash_at`."""
        below = self.below.positions
        return self.below.hash_at(index) if index < below else self.above.hash_at(index - below)

    def match_at(self, index: int, distance: int) -> Match:
        """As :meth:`HashSet.match_at`; the position is that in the whole."""
        below = self.below.positions
        if index < below:
            return self.below.match_at(index, distance)
        return replace(self.above.match_at(index - below, distance), index=index)

    def clusters_at(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """As :meth:`HashSet.clusters_at`; the positions are those in the whole."""
        clusters = np.empty(len(indices), np.uint64)
        lower = indices < self.below.positions
        clusters[lower] = self.below.clusters_at(indices[lower])
        clusters[~lower] = self.above.clusters_at(indices[~lower] - self.below.positions)
        return clusters

    def video_frames(self, clusters: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """As :meth:`HashSet.video_frames`; frames that were removed count no more."""
        frames = self.below.video_frames(clusters) + self.above.video_frames(clusters)
        if len(self._removed) and frames.any():
            gone = self.below.clusters_at(self._removed)
            kinds, counts = np.unique(gone, return_counts=True)
            places = np.minimum(np.searchsorted(kinds, clusters), len(kinds) - 1)
            frames -= np.where((frames > 0) & (kinds[places] == clusters), counts[places], 0)
        return frames

    def numbered_entries(self) -> Iterator[tuple[int, Entry]]:
        """Every entry that counts, with its position."""
        gone = set(self.gone.tolist())
        yield from ((place, entry) for place, entry in self.below.numbered_entries() if place not in gone)
        yield from ((self.below.positions + place, entry) for place, entry in self.above.numbered_entries())

    def entries(self) -> Iterator[Entry]:
        """Every entry that counts, as a builder takes it: what a merge writes."""
        return (entry for _, entry in self.numbered_entries())

    def close(self) -> None:
        """As :meth:`HashSet.close`, for every layer."""
        self.above.close()
        self.below.close()

    def __enter__(self) -> LayeredSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_layers(
    base: str | os.PathLike[str], deltas: Iterable[str | os.PathLike[str]] = (), *, check: Check = Check.FULL
) -> HashSet | LayeredSet:
    """Open a set and the deltas on top of it, oldest first.

    Raises:
        StorageError: a file can't be read.
        HashSetError: a file is corrupt, or a delta belongs to another base.
    """
    with ExitStack() as opened:
        known: HashSet | LayeredSet = opened.enter_context(HashSet.open(base, check=check))
        for path in deltas:
            above = opened.enter_context(HashSet.open_any(path, check=check))
            try:
                known = LayeredSet(known, above)
            except HashSetError as error:
                raise HashSetError(f"{path}: {error}") from error
        opened.pop_all()
        return known


class DeltaBuilder:
    """Collects what changes between a base and its next epoch.

    Args:
        base: the set, or the layers, the delta goes on top of.
        epoch: number of the new edition, higher than the base's.

    Raises:
        ArgumentError: the epoch is not higher.
    """

    def __init__(self, base: HashSet | LayeredSet, *, epoch: int) -> None:
        header = base.header
        if epoch <= header.epoch:
            raise ArgumentError(f"the new epoch must be over the base's, {header.epoch}, not {epoch}")
        self._base = base
        self._index = base.open_index()
        self._removed: set[int] = set()
        self.added = HashSetBuilder(
            header.name, header.algorithm, epoch=epoch, radius=header.radius, quality_floor=header.quality_floor
        )

    def add(self, entry: Entry) -> bool:
        """Add an entry; as :meth:`HashSetBuilder.add`."""
        return self.added.add(entry)

    def remove(self, known: PerceptualHash) -> int:
        """Remove every entry of the base with exactly this hash.

        Returns:
            how many there were.

        Raises:
            HashShapeError: the hash is of another length.
        """
        found = self._index.search(known.data, 0).indices.tolist()
        self._removed.update(found)
        return len(found)

    def write(self, path: str | os.PathLike[str]) -> bytes:
        """Write the delta; as :meth:`HashSetBuilder.write`."""
        removed: npt.NDArray[np.int64] = np.array(sorted(self._removed), "<i8")
        return self.added.write(Path(path), base=self._base.digest.hex(), removed=removed)
