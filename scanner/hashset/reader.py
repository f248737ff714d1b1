"""A hash set opened for reading: memory-mapped, verified, immutable."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.errors import HashSetError, HashShapeError, StorageError
from scanner.hashset import format as layout
from scanner.hashset.calibration import Calibration
from scanner.hashset.entry import Entry
from scanner.index import Index, open_index
from scanner.index.tables import check_tables
from scanner.profiles import ALGORITHMS, AlgorithmSettings
from scanner.types import Match, PerceptualHash

_NO_VIDEOS: npt.NDArray[np.uint64] = np.empty((0, 2), np.uint64)


class Check(StrEnum):
    """How much of a file is checked when it is opened. Header, structure, labels' texts and calibration always are.

    ``FULL``: every byte is checked against its SHA-256 before :meth:`HashSet.open` returns.
    ``DEFERRED``: the same in the background; no search answers before it is done, and none if it fails.
    ``TRUSTED``: codes, clusters, labels and tables are taken as they lie. This trusts the disk and everyone who may
    write to the file since it was last verified: a changed byte may hide an entry, but never makes the search read
    elsewhere.
    """

    FULL = "full"
    DEFERRED = "deferred"
    TRUSTED = "trusted"


class HashSet:
    """Known hashes with their clusters and labels.

    Open one with :meth:`open`; build one with :class:`scanner.HashSetBuilder`. A set stays readable after its file was
    replaced or removed; pages are shared between processes that open the same file. Close it, or use it as a context
    manager, when nothing made from it is used any more.

    Attributes:
        header: what the set says of itself.
        digest: SHA-256 of the header, which names all the rest but the calibration; 32 bytes.
        calibration: how often the list was wrong when it was measured, or None if nobody attached that.
        codes: packed hashes; shape ``(n, bits // 8)``, uint8.
        clusters: shape ``(n,)``, uint64.
        labels: numbers of the entries' labels; shape ``(n,)``, uint32.
        videos: clusters that are videos, ascending, and the number of entries of each; shape ``(v, 2)``, uint64.
        tables: the block of search tables, uint8, or None in small sets.
    """

    def __init__(
        self, file: mmap.mmap, header: layout.Header, label_texts: tuple[str, ...], calibration: Calibration | None
    ) -> None:
        self._file = file
        self._verifier: threading.Thread | None = None
        self._fault: HashSetError | None = None
        self._label_texts = label_texts
        self.header = header
        self.digest = header.digest
        self.calibration = calibration
        self.codes = self._bytes("codes")[layout.FAISS_HEADER_BYTES :].reshape(header.count, header.bits // 8)
        self.clusters = self._bytes("clusters").view("<u8")
        self.tables = self._bytes("tables") if "tables" in header.sections else None
        self.labels = self._bytes("labels").view("<u4")
        self.videos = self._bytes("videos").view("<u8").reshape(-1, 2) if "videos" in header.sections else _NO_VIDEOS

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, check: Check = Check.FULL) -> HashSet:
        """Map a hash-set file and verify it.

        Args:
            path: the file.
            check: how much is verified before this returns.

        Raises:
            StorageError: the file can't be read.
            HashSetError: it is no hash set, corrupt, cut, of another version, or a delta, which is opened with its base
                by :func:`scanner.hashset.open_layers`.
        """
        known = cls.open_any(path, check=check)
        if known.header.base is not None:
            known.close()
            raise HashSetError(
                f"{path}: this is a delta to another hash set and no list by itself; open it with its base"
            )
        return known

    @classmethod
    def open_any(cls, path: str | os.PathLike[str], *, check: Check = Check.FULL) -> HashSet:
        """Open a set or a delta; otherwise as :meth:`open`."""
        try:
            with Path(path).open("rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    raise HashSetError(f"{path}: the file is empty")
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise StorageError(f"can't open the hash set {path}: {why}") from error
        try:
            with memoryview(mapped) as view:
                header = _outline(view)
                texts = _label_texts(view, header)
                calibration = _calibration(view, header)
                if check is Check.FULL:
                    verify_sections(view, header, len(texts))
            known = cls(mapped, header, texts, calibration)
        except HashSetError as error:
            raise HashSetError(f"{path}: {error}") from error  # the mapping goes with the last view of it
        if check is Check.DEFERRED:
            known.verify_in_background(os.fspath(path))
        return known

    def verify_in_background(self, name: str) -> None:
        """Start checking every byte; :meth:`ensure_verified` waits for the end. ``name`` is for the message."""

        def run() -> None:
            try:
                with memoryview(self._file) as view:
                    verify_sections(view, self.header, len(self._label_texts))
            except Exception as error:  # noqa: BLE001 - what was not checked is not trusted
                self._fault = HashSetError(f"{name}: {error}")

        self._verifier = threading.Thread(target=run, name="prescan-verify", daemon=True)
        self._verifier.start()

    def ensure_verified(self) -> None:
        """Wait until a deferred check is done.

        Raises:
            HashSetError: it found the file corrupt.
        """
        if self._verifier is not None:
            self._verifier.join()
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Give the file back; again is no error. Anything made from the set must no longer be used."""
        if self._verifier is not None:
            self._verifier.join()
        for name in ("codes", "clusters", "tables", "labels", "videos"):
            self.__dict__.pop(name, None)
        with suppress(BufferError):  # an index still looks at it: the mapping goes when the index does
            self._file.close()

    def __enter__(self) -> HashSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.header.count

    @property
    def positions(self) -> int:
        """Number of positions an index may name; in layers more than there are entries."""
        return self.header.count

    def open_index(self, engine: str = "auto") -> Index:
        """Make the set searchable; see :func:`scanner.index.open_index`."""
        return open_index(self, engine)

    @property
    def settings(self) -> AlgorithmSettings:
        """The published settings of the set's algorithm; the set's own radius and floor stand in its header."""
        return ALGORITHMS[self.header.algorithm]

    def hash_at(self, index: int) -> PerceptualHash:
        """The hash of one entry."""
        return PerceptualHash(self.header.algorithm, self.codes[index].tobytes())

    def label_at(self, index: int) -> str:
        """The label of one entry.

        Raises:
            HashSetError: in a trusted file that is damaged, if the entry's label is not in the set.
        """
        number = int(self.labels[index])
        if number >= len(self._label_texts):
            raise HashSetError("an entry's label is not in the set: the file is corrupt")
        return self._label_texts[number]

    def match_at(self, index: int, distance: int) -> Match:
        """Describe an entry that a search found at a distance."""
        return Match(index, distance, int(self.clusters[index]), self.label_at(index))

    def clusters_at(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """The clusters of entries."""
        return self.clusters[indices]

    def video_frames(self, clusters: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """How many frames the videos of these clusters have; 0 for clusters of pictures."""
        if not len(self.videos):
            return np.zeros(len(clusters), np.int64)
        places = np.minimum(np.searchsorted(self.videos[:, 0], clusters), len(self.videos) - 1)
        return np.where(self.videos[places, 0] == clusters, self.videos[places, 1], 0).astype(np.int64)

    def entries(self) -> Iterator[Entry]:
        """Every entry in order, as a builder takes it."""
        videos = set(self.videos[:, 0].tolist())
        for index in range(len(self)):
            cluster = int(self.clusters[index])
            yield Entry(self.hash_at(index), self.label_at(index), cluster, video=cluster in videos)

    def numbered_entries(self) -> Iterator[tuple[int, Entry]]:
        """Every entry with its position."""
        return enumerate(self.entries())

    @property
    def gone(self) -> npt.NDArray[np.int64]:
        """Positions that no longer count: none; layers have some."""
        return np.empty(0, np.int64)

    def removed(self) -> npt.NDArray[np.int64]:
        """Of a delta: positions in the base that no longer count, ascending."""
        return self._bytes("removed").view("<i8") if self.header.base is not None else np.empty(0, np.int64)

    def faiss_bytes(self) -> npt.NDArray[np.uint8]:
        """The FAISS index as it lies in the file; for ``faiss.deserialize_index_binary``."""
        return self._bytes("codes")

    def list_bytes(self) -> npt.NDArray[np.uint8]:
        """All sections but the calibration, with their padding, as they lie in the file."""
        return np.frombuffer(self._file, np.uint8, self.header.without_calibration().end())

    def _bytes(self, name: str) -> npt.NDArray[np.uint8]:
        part = self.header.sections[name]
        return np.frombuffer(self._file, np.uint8, part.length, part.offset)


def verify_sections(file: memoryview, header: layout.Header, texts: int) -> None:
    """Check every section against its SHA-256, and that each entry's label is one of so many texts.

    Raises:
        HashSetError: naming the first section that does not match.
    """
    for name in header.present():
        _verify(file, header, name)
    part = header.sections["labels"]
    labels = np.frombuffer(file, "<u4", header.count, part.offset)
    if header.count and int(labels.max()) >= texts:
        raise HashSetError("an entry's label is not in the set")
    if "videos" in header.sections:
        part = header.sections["videos"]
        videos = np.frombuffer(file, "<u8", part.length // 8, part.offset).reshape(-1, 2)
        if not (videos[1:, 0] > videos[:-1, 0]).all() or not videos[:, 1].all():
            raise HashSetError("the set's videos are not in order, or one has no frames")


def _verify(file: memoryview, header: layout.Header, name: str) -> None:
    part = header.sections[name]
    if hashlib.sha256(file[part.offset : part.offset + part.length]).hexdigest() != part.sha256:
        raise HashSetError(f"section {name} does not match its SHA-256: the file is corrupt")


def _outline(file: memoryview) -> layout.Header:
    """Read and check what every kind of opening relies on: footer, header, and where everything lies."""
    offset, length, digest = layout.locate_header(file)
    raw = bytes(file[offset : offset + length])
    if hashlib.sha256(raw).digest() != digest:
        raise HashSetError("the header does not match its SHA-256: the file is corrupt")
    header = layout.Header.from_bytes(raw)
    for start, end in layout.gaps(header, offset):
        if any(file[start:end]):
            raise HashSetError("padding holds data: the file is corrupt")
    prefix = layout.faiss_prefix(header.bits, header.count)
    if file[: len(prefix)] != prefix:
        raise HashSetError("the FAISS part does not say what the header says")
    if "tables" in header.sections:
        part = header.sections["tables"]
        try:
            check_tables(np.frombuffer(file, np.uint8, part.length, part.offset), header.count, header.bits)
        except HashShapeError as error:
            raise HashSetError(str(error)) from error
    return header


def _calibration(file: memoryview, header: layout.Header) -> Calibration | None:
    if "calibration" not in header.sections:
        return None
    _verify(file, header, "calibration")
    part = header.sections["calibration"]
    calibration = Calibration.from_json(bytes(file[part.offset : part.offset + part.length]))
    calibration.check_fits(header, header.digest)
    return calibration


def _label_texts(file: memoryview, header: layout.Header) -> tuple[str, ...]:
    _verify(file, header, "label_texts")
    part = header.sections["label_texts"]
    try:
        texts = json.loads(bytes(file[part.offset : part.offset + part.length]))
    except (ValueError, RecursionError) as error:
        raise HashSetError("the labels are not valid JSON") from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise HashSetError("the labels are not an array of texts")
    return tuple(texts)
