"""Hashes and their clusters in files that any number of processes map into their memory.

Rules: a file's name follows from its content, so a bank is never changed; files hold plain arrays and nothing that is
run when they are read.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanner.errors import ArgumentError, HashShapeError, StorageError
from scanner.files import replace_file

LONGEST = 64 * 1023
"""Bits of the longest hash."""

Words = NDArray[np.uint64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bank:
    """Hashes and the cluster of each, in files that every worker maps into its memory.

    Attributes:
        hashes: ``.npy``; shape ``(count, ceil(bits / 64))``, uint64.
        clusters: ``.npy``; shape ``(count,)``, int64.
        digest: SHA-256 over both and ``bits``, hexadecimal.
        count: how many there are.
        bits: length of a hash.
    """

    hashes: Path
    clusters: Path
    digest: str
    count: int
    bits: int


def store_bank(codes: ArrayLike, clusters: ArrayLike, bits: int, folder: Path) -> Bank:
    """Write hashes for workers to read, under a name that follows from the content; a file that is there is kept.

    Args:
        codes: packed hashes; shape ``(n, ceil(bits / 8))``, uint8, ``n`` at least 1, bits over ``bits`` 0.
        clusters: of each hash, numbered from 0; shape ``(n,)``. Two banks share their numbers: a pair of the same
            number is left out.
        bits: length of a hash, 1 to 65,472.
        folder: made if it is not there.

    Raises:
        ArgumentError: clusters or bits are not as above, or there are no hashes.
        HashShapeError: codes are not as above.
        StorageError: a file can't be written.
    """
    packed, labels = np.asarray(codes), np.asarray(clusters)
    if not 1 <= bits <= LONGEST:
        raise ArgumentError(f"hashes have 1 to {LONGEST:,} bits, not {bits}")
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != -(-bits // 8):
        raise HashShapeError(
            f"hashes of {bits} bits are uint8 of shape (n, {-(-bits // 8)}), not {packed.dtype} of {packed.shape}"
        )
    if not len(packed):
        raise ArgumentError("there are no hashes to compare")
    if bits % 8 and (packed[:, -1] & (0xFF >> bits % 8)).any():
        raise HashShapeError(f"a hash of {bits} bits has more bits set in its last byte")
    if labels.shape != (len(packed),) or (labels.size and (labels.dtype.kind not in "iu" or labels.min() < 0)):
        raise ArgumentError(f"clusters {labels.dtype} of {labels.shape}: expected {len(packed)} whole numbers from 0")
    words = np.zeros((len(packed), 8 * -(-bits // 64)), np.uint8)
    words[:, : packed.shape[1]] = packed
    held = [_npy(words.view("<u8")), _npy(labels.astype("<i8"))]
    digest = digest_of([bits, *(hashlib.sha256(data).hexdigest() for data in held)])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"can't make {folder}: {error.strerror}") from error
    paths = [folder / f"{digest}-{name}.npy" for name in ("hashes", "clusters")]
    for path, data in zip(paths, held, strict=True):
        if not path.is_file() or path.stat().st_size != len(data):
            replace_file(path, [data])
    return Bank(paths[0], paths[1], digest, len(packed), bits)


def mapped_words(path: str | Path) -> Words:
    """Map the hashes in a file into memory; shape ``(n, W)``, uint64.

    Raises:
        StorageError: it can't be read, or holds something else.
    """
    return _mapped(path, np.uint64, 2)


def mapped_clusters(path: str | Path) -> Whole:
    """Map the clusters in a file into memory; shape ``(n,)``, int64.

    Raises:
        StorageError: it can't be read, or holds something else.
    """
    return _mapped(path, np.int64, 1)


def fixed(words: Words) -> Words:
    """Hashes in one piece and not to be written to, so that a kernel is compiled for no more than one kind of them."""
    found = np.ascontiguousarray(words).view()
    found.setflags(write=False)
    return found


def digest_of(parts: list[object]) -> str:
    """SHA-256 over numbers and texts, hexadecimal."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _mapped(path: str | Path, dtype: type, dimensions: int) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StorageError(f"can't read {path}: {error}") from error
    if found.dtype != dtype or found.ndim != dimensions:
        raise StorageError(f"{path} holds {found.dtype} of shape {found.shape}")
    return found


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
