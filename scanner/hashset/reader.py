"""A hash set opened for reading: memory-mapped, verified, immutable."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.errors import HashSetError, HashShapeError, StorageError
from scanner.hashset import format as layout
from scanner.hashset.entry import Entry
from scanner.index.tables import check_tables
from scanner.profiles import ALGORITHMS, AlgorithmSettings
from scanner.types import Match, PerceptualHash


class HashSet:
    """Known hashes with their clusters and labels.

    Open one with :meth:`open`; build one with :class:`scanner.HashSetBuilder`. A set stays readable after its file
    was replaced or removed; pages are shared between processes that open the same file. Close it, or use it as a
    context manager, when nothing made from it is used any more.
    """

    def __init__(self, file: mmap.mmap, header: layout.Header, digest: bytes, label_texts: tuple[str, ...]) -> None:
        self._file = file
        self.header = header
        self.digest = digest
        self._label_texts = label_texts
        self.codes = self._codes()
        self.clusters = self._column("clusters", np.dtype("<u8"))
        self.labels = self._column("labels", np.dtype("<u4"))
        self.tables = self._bytes("tables") if "tables" in header.sections else None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> HashSet:
        """Map a hash-set file and verify every byte of it.

        Raises:
            StorageError: the file can't be read.
            HashSetError: it is no hash set, corrupt, cut, or of another version.
        """
        try:
            with Path(path).open("rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    raise HashSetError(f"{path}: the file is empty")
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise StorageError(f"can't open the hash set {path}: {error.strerror or error}") from error
        try:
            with memoryview(mapped) as view:
                header, digest, texts = _verified(view)
            return cls(mapped, header, digest, texts)
        except HashSetError as error:
            mapped.close()
            raise HashSetError(f"{path}: {error}") from error

    def close(self) -> None:
        """Give the file back. Anything made from the set must no longer be used."""
        del self.codes, self.clusters, self.labels, self.tables
        with suppress(BufferError):  # an index still looks at it: the mapping goes when the index does
            self._file.close()

    def __enter__(self) -> HashSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.header.count

    @property
    def settings(self) -> AlgorithmSettings:
        """The published settings of the set's algorithm; the set's own radius and floor stand in its header."""
        return ALGORITHMS[self.header.algorithm]

    def hash_at(self, index: int) -> PerceptualHash:
        """The hash of one entry."""
        return PerceptualHash(self.header.algorithm, self.codes[index].tobytes())

    def label_at(self, index: int) -> str:
        """The label of one entry."""
        return self._label_texts[int(self.labels[index])]

    def match_at(self, index: int, distance: int) -> Match:
        """Describe an entry that a search found at a distance."""
        return Match(index, distance, int(self.clusters[index]), self.label_at(index))

    def entries(self) -> Iterator[Entry]:
        """Every entry in order, as a builder takes it."""
        for index in range(len(self)):
            yield Entry(self.hash_at(index), self.label_at(index), int(self.clusters[index]))

    def faiss_bytes(self) -> npt.NDArray[np.uint8]:
        """The FAISS index as it lies in the file; for ``faiss.deserialize_index_binary``."""
        return self._bytes("codes")

    def _codes(self) -> npt.NDArray[np.uint8]:
        codes = self._bytes("codes")[layout.FAISS_HEADER_BYTES :]
        return codes.reshape(self.header.count, self.header.bits // 8)

    def _bytes(self, name: str) -> npt.NDArray[np.uint8]:
        part = self.header.sections[name]
        return np.frombuffer(self._file, np.uint8, part.length, part.offset)

    def _column(self, name: str, dtype: np.dtype[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
        return self._bytes(name).view(dtype)


def _verified(file: memoryview) -> tuple[layout.Header, bytes, tuple[str, ...]]:
    offset, length, digest = layout.locate_header(file)
    raw = bytes(file[offset : offset + length])
    if hashlib.sha256(raw).digest() != digest:
        raise HashSetError("the header does not match its SHA-256: the file is corrupt")
    header = layout.Header.from_bytes(raw)
    for start, end in layout.gaps(header, offset):
        if any(file[start:end]):
            raise HashSetError("padding holds data: the file is corrupt")
    for name in header.present():
        part = header.sections[name]
        if hashlib.sha256(file[part.offset : part.offset + part.length]).hexdigest() != part.sha256:
            raise HashSetError(f"section {name} does not match its SHA-256: the file is corrupt")
    prefix = layout.faiss_prefix(header.bits, header.count)
    if file[: len(prefix)] != prefix:
        raise HashSetError("the FAISS part does not say what the header says")
    if "tables" in header.sections:
        part = header.sections["tables"]
        try:
            check_tables(np.frombuffer(file, np.uint8, part.length, part.offset), header.count, header.bits)
        except HashShapeError as error:
            raise HashSetError(str(error)) from error
    return header, digest, _label_texts(file, header)


def _label_texts(file: memoryview, header: layout.Header) -> tuple[str, ...]:
    part = header.sections["label_texts"]
    try:
        texts = json.loads(bytes(file[part.offset : part.offset + part.length]))
    except (ValueError, RecursionError) as error:
        raise HashSetError("the labels are not valid JSON") from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise HashSetError("the labels are not an array of texts")
    part = header.sections["labels"]
    labels = np.frombuffer(file, "<u4", header.count, part.offset)
    if header.count and int(labels.max()) >= len(texts):
        raise HashSetError("an entry's label is not in the set")
    return tuple(texts)
