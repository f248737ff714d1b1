"""Build a hash set: collect entries, refuse what does not belong, write the file.

Rules: nothing is dropped silently, every refusal is counted with its reason; the same entries in the same order give
the same bytes; an interrupted or failed write leaves what was there before.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.errors import HashShapeError
from scanner.files import replace_file
from scanner.hashset import format as layout
from scanner.hashset.entry import Entry, cluster_of
from scanner.index.engines import engine_for
from scanner.profiles import algorithm_named


class HashSetBuilder:
    """Collects entries of one algorithm and writes them as a hash-set file.

    Args:
        name: the list's name, shown to people.
        algorithm: a name from :data:`scanner.profiles.ALGORITHMS`.
        epoch: number of this edition; later is higher.
        radius, quality_floor: instead of the algorithm's own.

    Attributes:
        refused: count of refused entries by reason.

    Raises:
        UnknownNameError: no such algorithm.
        HashShapeError: radius, floor or epoch out of range.
    """

    def __init__(
        self,
        name: str,
        algorithm: str = "pdq",
        *,
        epoch: int = 1,
        radius: int | None = None,
        quality_floor: int | None = None,
    ) -> None:
        self.settings = algorithm_named(algorithm)
        self.name = name
        self.epoch = epoch
        self.radius = self.settings.radius if radius is None else radius
        self.quality_floor = self.settings.quality_floor if quality_floor is None else quality_floor
        if not (0 <= self.radius < self.settings.bits and 0 <= self.quality_floor <= 100 and 0 <= epoch < 2**53):
            raise HashShapeError(
                f"radius is 0 to {self.settings.bits - 1}, quality floor 0 to 100, epoch not negative; "
                f"not {self.radius}, {self.quality_floor}, {epoch}"
            )
        self.refused: Counter[str] = Counter()
        self._codes = bytearray()
        self._clusters = array("Q")
        self._labels = array("I")
        self._label_numbers: dict[str, int] = {}
        self._seen: set[tuple[bytes, int, int]] = set()
        self._videos: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, entry: Entry) -> bool:
        """Take an entry, or refuse and count it.

        Refused are entries below the quality floor and exact repetitions (hash, cluster and label equal).

        Returns:
            whether it was taken.

        Raises:
            HashShapeError: the hash is of another algorithm or length, or the cluster is no unsigned 64-bit number.
        """
        if (entry.hash.algorithm, entry.hash.bits) != (self.settings.name, self.settings.bits):
            raise HashShapeError(
                f"the set holds {self.settings.bits}-bit {self.settings.name} hashes, "
                f"not {entry.hash.bits}-bit {entry.hash.algorithm}"
            )
        if entry.quality is not None and entry.quality < self.quality_floor:
            self.refused[f"quality below {self.quality_floor}"] += 1
            return False
        cluster = cluster_of(entry.hash) if entry.cluster is None else entry.cluster
        if not 0 <= cluster < 2**64:
            raise HashShapeError(f"a cluster is a number from 0 to 2^64 - 1, not {cluster}")
        label = self._label_numbers.setdefault(entry.label, len(self._label_numbers))
        key = (entry.hash.data, cluster, label)
        if key in self._seen:
            self.refused["repeated"] += 1
            return False
        self._seen.add(key)
        if entry.video:
            self._videos[cluster] += 1
        self._codes += entry.hash.data
        self._clusters.append(cluster)
        self._labels.append(label)
        return True

    def add_all(self, entries: Iterable[Entry]) -> None:
        """Take or refuse each entry in turn; errors as for :meth:`add`."""
        for entry in entries:
            self.add(entry)

    def add_codes(self, codes: npt.NDArray[np.uint8], clusters: npt.NDArray[np.uint64], label: str = "") -> None:
        """Take many entries at once, as they are: neither quality nor repetition is looked at.

        Args:
            codes: packed hashes; shape ``(n, bits // 8)``, uint8.
            clusters: shape ``(n,)``, uint64.
            label: of all of them.

        Raises:
            HashShapeError: a shape or dtype differs from the above.
        """
        if clusters.dtype != np.uint64 or clusters.ndim != 1:
            raise HashShapeError(f"clusters are uint64 of one dimension, not {clusters.dtype} of {clusters.ndim}")
        if codes.dtype != np.uint8 or codes.shape != (len(clusters), self.settings.bits // 8):
            raise HashShapeError(
                f"codes are uint8 of shape ({len(clusters)}, {self.settings.bits // 8}), "
                f"not {codes.dtype} of shape {codes.shape}"
            )
        if not len(codes):
            return
        self._codes += np.ascontiguousarray(codes).tobytes()
        self._clusters.frombytes(np.ascontiguousarray(clusters).tobytes())
        number = self._label_numbers.setdefault(label, len(self._label_numbers))
        self._labels.frombytes(np.full(len(codes), number, np.uint32).tobytes())

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        compact: bool = False,
        base: str | None = None,
        removed: npt.NDArray[np.int64] | None = None,
    ) -> bytes:
        """Write the set, replacing any file of that name only once all of it is on disk.

        Args:
            path: the file.
            compact: write search tables of a third of the size, ten to twenty times slower to search; 256 bits only.
            base: digest of the set this is a delta to; see :class:`scanner.hashset.DeltaBuilder`.
            removed: of a delta: positions in the base that no longer count, ascending.

        Returns:
            the set's digest, 32 bytes.

        Raises:
            StorageError: the file can't be written; what was there before is untouched.
            HashShapeError: there are too many entries for the tables, ``compact`` is not for this algorithm, or a
                picture is in the cluster of a video.
        """
        sections = {
            "codes": layout.faiss_prefix(self.settings.bits, len(self)) + self._codes,
            "clusters": np.array(self._clusters, "<u8").tobytes(),
            "labels": np.array(self._labels, "<u4").tobytes(),
            "label_texts": json.dumps(list(self._label_numbers)).encode("ascii"),
        }
        if self._videos:
            sections["videos"] = self._video_records()
        if engine_for(len(self)) != "flat":
            from scanner.index.tables import COMPACT, MULTI, build_tables

            codes = np.frombuffer(self._codes, np.uint8).reshape(len(self), self.settings.bits // 8)
            sections["tables"] = build_tables(codes, COMPACT if compact else MULTI).tobytes()
        if base is not None:
            sections["removed"] = np.asarray(removed, "<i8").tobytes()
        placed: dict[str, layout.Section] = {}
        position = 0
        for name in sections:
            data = sections[name]
            placed[name] = layout.Section(position, len(data), hashlib.sha256(data).hexdigest())
            position += len(data) + len(layout.padding(len(data)))
        header = layout.Header(
            self.name, self.epoch, self.settings.name, self.settings.bits, self.radius, self.quality_floor, len(self),
            placed, base,
        ).to_bytes()  # fmt: skip
        parts = [piece for name in sections for piece in (sections[name], layout.padding(len(sections[name])))]
        replace_file(Path(path), [*parts, header, layout.footer(position, header)])
        return hashlib.sha256(header).digest()

    def _video_records(self) -> bytes:
        records = np.array(sorted(self._videos.items()), "<u8")
        clusters = np.array(self._clusters, "<u8")
        places = np.minimum(np.searchsorted(records[:, 0], clusters), len(records) - 1)
        held = np.bincount(places[records[places, 0] == clusters], minlength=len(records))
        mixed = records[held != records[:, 1], 0]
        if len(mixed):
            raise HashShapeError(f"cluster {mixed[0]} is a video's and a picture's; give them different clusters")
        return records.tobytes()
