"""One known hash, as it goes into a hash set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from scanner.types import PerceptualHash


@dataclass(frozen=True, slots=True)
class Entry:
    """One known hash.

    Attributes:
        hash: the hash.
        label: what to call it in a match; free text.
        cluster: number shared by entries that show the same picture; left out, it is derived from the hash, so the
            same hash keeps its cluster from epoch to epoch.
        quality: the picture's quality, if known.
    """

    hash: PerceptualHash
    label: str = ""
    cluster: int | None = None
    quality: int | None = None


def cluster_of(known: PerceptualHash) -> int:
    """The cluster of an entry that names none: 64 bits of SHA-256 over algorithm and hash.

    Among 100 million hashes the chance that any two share a cluster by accident is 3 in 10,000.
    """
    return int.from_bytes(hashlib.sha256(known.algorithm.encode() + b"\0" + known.data).digest()[:8])
