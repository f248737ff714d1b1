"""Build a hash set: collect entries, refuse what does not belong, write the file.

Rules: nothing is dropped silently, every refusal is counted with its reason; the same entries in the same order give
the same bytes; an interrupted or failed write leaves what was there before.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from scanner.errors import HashShapeError, StorageError
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
        self._clusters: list[int] = []
        self._labels: list[int] = []
        self._label_numbers: dict[str, int] = {}
        self._seen: set[tuple[bytes, int, int]] = set()

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
        self._codes += entry.hash.data
        self._clusters.append(cluster)
        self._labels.append(label)
        return True

    def add_all(self, entries: Iterable[Entry]) -> None:
        """Take or refuse each entry in turn; errors as for :meth:`add`."""
        for entry in entries:
            self.add(entry)

    def write(self, path: str | os.PathLike[str]) -> bytes:
        """Write the set, replacing any file of that name only once all of it is on disk.

        Returns:
            the set's digest, 32 bytes.

        Raises:
            StorageError: the file can't be written; what was there before is untouched.
        """
        sections = {
            "codes": layout.faiss_prefix(self.settings.bits, len(self)) + self._codes,
            "clusters": np.array(self._clusters, "<u8").tobytes(),
            "labels": np.array(self._labels, "<u4").tobytes(),
            "label_texts": json.dumps(list(self._label_numbers)).encode("ascii"),
        }
        if engine_for(len(self)) == "multi":
            from scanner.index.tables import build_tables

            codes = np.frombuffer(self._codes, np.uint8).reshape(len(self), self.settings.bits // 8)
            sections["tables"] = build_tables(codes).tobytes()
        placed: dict[str, layout.Section] = {}
        position = 0
        for name in sections:
            data = sections[name]
            placed[name] = layout.Section(position, len(data), hashlib.sha256(data).hexdigest())
            position += len(data) + len(layout.padding(len(data)))
        header = layout.Header(
            self.name, self.epoch, self.settings.name, self.settings.bits, self.radius, self.quality_floor, len(self),
            placed,
        ).to_bytes()  # fmt: skip
        parts = [piece for name in sections for piece in (sections[name], layout.padding(len(sections[name])))]
        replace_file(Path(path), [*parts, header, layout.footer(position, header)])
        return hashlib.sha256(header).digest()


def replace_file(path: Path, parts: Iterable[bytes | bytearray]) -> None:
    """Write a file whole, flush it to disk, and only then give it its name.

    Raises:
        StorageError: it can't be written; a file of that name stays as it was.
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(f"can't write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
