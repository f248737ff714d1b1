"""What a voucher told, as a reviewer reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_BITS_A_DIGIT = 4
_KNOWN = frozenset(
    {"distance", "quality", "algorithm", "hash", "day", "hashset_digest", "content_id", "leaf_index", "policy_digest"}
)


@dataclass(frozen=True, slots=True)
class ShownMatch:
    """One match.

    Attributes:
        distance: bits between the picture's hash and the entry's.
        bits: of the hash; None if there is no hash.
        quality: of the picture, 0 to 100.
        algorithm: of the hash.
        day: on which it was sent, days since 1970.
        content: the number of the content on the list.
        entry: position of the entry in the list.
        digests: by name: the list's, the policy's and the picture's hash, hexadecimal.
        others: whatever else was told, by name.
    """

    distance: Any
    bits: int | None
    quality: Any
    algorithm: Any
    day: Any
    content: Any
    entry: Any
    hashset: str
    digests: dict[str, str]
    others: dict[str, Any]


def shown_match(match: Mapping[str, Any]) -> ShownMatch:
    """Sort what a voucher told; what is missing is shown as a dash."""
    digest = str(match.get("hash", ""))
    named = {"Picture's hash": digest, "List": match.get("hashset_digest"), "Policy": match.get("policy_digest")}
    return ShownMatch(
        distance=match.get("distance", "–"),
        bits=len(digest) * _BITS_A_DIGIT or None,
        quality=match.get("quality", "–"),
        algorithm=match.get("algorithm", "–"),
        day=match.get("day", "–"),
        content=match.get("content_id", "–"),
        entry=match.get("leaf_index", "–"),
        hashset=str(match.get("hashset_digest", "–")),
        digests={name: str(value) for name, value in named.items() if value},
        others={name: value for name, value in match.items() if name not in _KNOWN and value not in ("", None)},
    )
