"""The Merkle tree of an append-only log (RFC 9162 section 2.1, with SHA-256).

Rules: a leaf is given by its hash, 32 bytes, from :func:`leaf_hash` on; a tree grows at its right edge alone; every
hash in a proof is the root of D[start:end] for some run of leaves, and is put together from complete subtrees, of
2**level leaves each, so a proof costs a few look-ups whatever the size; checking a proof answers yes or no and never
raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, TypeAlias

from scanner.errors import ArgumentError, StorageError
from scanner.intake.audit.places import Run, check_size, consistency_runs, inclusion_runs, pieces

HASH_SIZE = 32
TILE = 8  # levels of the tree that one tile spans (C2SP tlog-tiles)
EMPTY_ROOT = sha256(b"").digest()

SubtreeRoot: TypeAlias = Callable[[int, int], bytes]
"""Given (level, number), the root of the complete subtree over leaves number * 2**level to (number + 1) * 2**level."""


class Row(NamedTuple):
    """Roots that became known at one level of tiles: of the subtrees of 2**(TILE * level) leaves from ``number`` on."""

    level: int
    number: int
    hashes: Sequence[bytes]


def leaf_hash(data: bytes) -> bytes:
    """Hash an entry of the log."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into the one above them."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """What has to be kept of a tree to let it grow: the roots of the complete subtrees it falls into.

    Attributes:
        size: leaves in the tree.
        hashes: one root for each bit set in ``size``, the largest subtree first; 32 bytes each.

    Raises:
        ArgumentError: the number or length of the hashes does not fit the size.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        check_size(self.size)
        if len(self.hashes) != self.size.bit_count():
            raise ArgumentError(
                f"a tree of {self.size} leaves falls into {self.size.bit_count()} complete subtrees, "
                f"not {len(self.hashes)}"
            )
        _check_hashes(self.hashes)

    def append(self, leaf: bytes) -> Frontier:
        """Add one leaf.

        Raises:
            ArgumentError: it is not a hash of 32 bytes, or the tree is full.
        """
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """Add leaves, in order.

        Raises:
            ArgumentError: one is not a hash of 32 bytes, or the tree would be too large.
        """
        return self.grow(leaves)[0]

    def grow(self, leaves: Iterable[bytes]) -> tuple[Frontier, tuple[Row, ...]]:
        """Add leaves, in order, and tell what a store of tiles has to add.

        Args:
            leaves: leaf hashes, 32 bytes each.

        Returns:
            the tree's new frontier; the new hashes of each level of tiles, from level 0, the leaves themselves.

        Raises:
            ArgumentError: one is not a hash of 32 bytes, or the tree would be too large.
        """
        nodes = list(leaves)
        _check_hashes(nodes)
        size = self.size + len(nodes)
        kept = list(self.hashes)
        edge: list[bytes] = []
        rows: list[Row] = []
        number = self.size
        level = 0
        while nodes:
            if level % TILE == 0:
                rows.append(Row(level // TILE, number, tuple(nodes)))
            if number & 1:
                nodes.insert(0, kept.pop())
            if len(nodes) & 1:
                edge.append(nodes[-1])
            pairs = iter(nodes)
            nodes = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
            number >>= 1
            level += 1
        return Frontier(size, (*kept, *reversed(edge))), tuple(rows)

    def root(self) -> bytes:
        """The root of the whole tree; of an empty one, SHA-256 of nothing."""
        return _fold(self.hashes) if self.hashes else EMPTY_ROOT

    def to_bytes(self) -> bytes:
        """Write it down: the size in 8 bytes, big-endian, and the hashes."""
        return self.size.to_bytes(8) + b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Frontier:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            StorageError: it is something else.
        """
        if len(data) < 8:
            raise StorageError("the audit log's frontier is damaged: it is cut before the tree's size ends")
        size = int.from_bytes(data[:8])
        try:
            return cls(size, tuple(data[start : start + HASH_SIZE] for start in range(8, len(data), HASH_SIZE)))
        except ArgumentError as error:
            raise StorageError(f"the audit log's frontier is damaged: {error}") from error


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of the tree over these leaf hashes.

    Raises:
        ArgumentError: one is not a hash of 32 bytes.
    """
    return Frontier().extend(leaves).root()


def inclusion_proof(index: int, size: int, subtree: SubtreeRoot) -> tuple[bytes, ...]:
    """Prove that a leaf is in the tree of this size (RFC 9162 section 2.1.3.1).

    Args:
        index: which leaf, from 0.
        size: leaves in the tree; the log may have grown past it.
        subtree: gives the root of a complete subtree by level and number.

    Raises:
        ArgumentError: there is no such leaf.
    """
    return tuple(_run_root(run, subtree) for run in inclusion_runs(index, size))


def consistency_proof(old: int, new: int, subtree: SubtreeRoot) -> tuple[bytes, ...]:
    """Prove that the tree of ``old`` leaves is how the tree of ``new`` leaves began (RFC 9162 section 2.1.4.1).

    The proof is empty when the trees are the same or the earlier one is empty: every tree grew out of the empty one.

    Args:
        old: leaves in the earlier tree.
        new: leaves in the later tree.
        subtree: gives the root of a complete subtree by level and number.

    Raises:
        ArgumentError: the earlier tree is the larger one, or a size is not one of a tree.
    """
    return tuple(_run_root(run, subtree) for run in consistency_runs(old, new))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether a proof shows the leaf at this place in the tree with this root (RFC 9162 section 2.1.3.2).

    Args:
        leaf: the leaf's hash.
        index: which leaf, from 0.
        size: leaves in the tree.
        proof: from :func:`inclusion_proof`.
        root: the tree's root.
    """
    if not (0 <= index < size and _are_hashes((leaf, root, *proof))):
        return False
    place, last, above = index, size - 1, leaf
    for part in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            above = node_hash(part, above)
            place, last = _past_lone_nodes(place, last)
        else:
            above = node_hash(above, part)
        place, last = place >> 1, last >> 1
    return last == 0 and above == root


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether a proof shows that one tree grew out of another (RFC 9162 section 2.1.4.2).

    Args:
        old_size: leaves in the earlier tree.
        old_root: its root.
        new_size: leaves in the later tree.
        new_root: its root.
        proof: from :func:`consistency_proof`.
    """
    if not (0 <= old_size <= new_size and _are_hashes((old_root, new_root, *proof))):
        return False
    if old_size == new_size or old_size == 0:
        return not proof and old_root == (new_root if old_size == new_size else EMPTY_ROOT)
    path = proof if old_size & (old_size - 1) else (old_root, *proof)
    if not proof:
        return False
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for part in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(part, old), node_hash(part, new)
            place, last = _past_lone_nodes(place, last)
        else:
            new = node_hash(new, part)
        place, last = place >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _past_lone_nodes(place: int, last: int) -> tuple[int, int]:
    """Go up the right edge past the levels where the node has no sibling and is its own parent."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _run_root(run: Run, subtree: SubtreeRoot) -> bytes:
    return _fold([subtree(*place) for place in pieces(run)])


def _fold(hashes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees, largest first."""
    *larger, root = hashes
    for left in reversed(larger):
        root = node_hash(left, root)
    return root


def _are_hashes(hashes: Iterable[bytes]) -> bool:
    return {*map(len, hashes)} <= {HASH_SIZE}


def _check_hashes(hashes: Iterable[bytes]) -> None:
    if not _are_hashes(hashes):
        raise ArgumentError(f"a leaf or node of the tree is a SHA-256 hash of {HASH_SIZE} bytes")
