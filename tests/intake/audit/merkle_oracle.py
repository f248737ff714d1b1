"""RFC 9162 section 2.1 as it is written: slow, and plain to see."""

from __future__ import annotations

import hashlib

Entries = tuple[bytes, ...]


def largest_power_below(n: int) -> int:
    """K with k < n <= 2k, for n > 1."""
    k = 1
    while 2 * k < n:
        k = 2 * k
    return k


def tree_head(entries: Entries) -> bytes:
    """MTH(D_n), section 2.1.1."""
    n = len(entries)
    if n == 0:
        return hashlib.sha256().digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = largest_power_below(n)
    return hashlib.sha256(b"\x01" + tree_head(entries[:k]) + tree_head(entries[k:])).digest()


def path(m: int, entries: Entries) -> Entries:
    """PATH(m, D_n), section 2.1.3.1."""
    n = len(entries)
    if n == 1:
        return ()
    k = largest_power_below(n)
    if m < k:
        return (*path(m, entries[:k]), tree_head(entries[k:]))
    return (*path(m - k, entries[k:]), tree_head(entries[:k]))


def proof(m: int, entries: Entries) -> Entries:
    """PROOF(m, D_n), section 2.1.4.1, for 0 < m <= n."""
    return subproof(m, entries, True)


def subproof(m: int, entries: Entries, known: bool) -> Entries:
    """SUBPROOF(m, D_n, b)."""
    n = len(entries)
    if m == n:
        return () if known else (tree_head(entries),)
    k = largest_power_below(n)
    if m <= k:
        return (*subproof(m, entries[:k], known), tree_head(entries[k:]))
    return (*subproof(m - k, entries[k:], False), tree_head(entries[:k]))
