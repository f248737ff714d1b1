"""Which parts of a Merkle tree a proof is made of (RFC 9162 section 2.1). Numbers alone; no hash is read or made here.

Rules: a run is the leaves ``start`` to ``end``, the end not among them, and stands for one hash of a proof; a run falls
into complete subtrees in one way, so a store that holds the roots of complete subtrees can serve every proof.
"""

from __future__ import annotations

from typing import NamedTuple

from scanner.errors import ArgumentError

LARGEST_TREE = 2**63 - 1  # leaves; the largest integer a database column holds


class Place(NamedTuple):
    """A complete subtree: the ``number``-th, from 0, of those of 2**level leaves."""

    level: int
    number: int


class Run(NamedTuple):
    """Leaves in a row whose root is one hash of a proof."""

    start: int
    end: int


def inclusion_places(index: int, size: int) -> tuple[Place, ...]:
    """List the complete subtrees that a proof of inclusion is made of, each once: fetch them in one go, then prove.

    Args:
        index: which leaf, from 0.
        size: leaves in the tree.

    Raises:
        ArgumentError: there is no such leaf.
    """
    return tuple(place for run in inclusion_runs(index, size) for place in pieces(run))


def consistency_places(old: int, new: int) -> tuple[Place, ...]:
    """List the complete subtrees that a proof of consistency is made of, each once: fetch them in one go, then prove.

    Args:
        old: leaves in the earlier tree.
        new: leaves in the later tree.

    Raises:
        ArgumentError: the earlier tree is the larger one, or a size is not one of a tree.
    """
    return tuple(place for run in consistency_runs(old, new) for place in pieces(run))


def frontier_places(size: int) -> tuple[Place, ...]:
    """List the complete subtrees that a whole tree falls into, largest first.

    Raises:
        ArgumentError: it is not the size of a tree.
    """
    check_size(size)
    return pieces(Run(0, size))


def inclusion_runs(index: int, size: int) -> tuple[Run, ...]:
    """PATH(index, D[size]) of section 2.1.3.1, as runs of leaves, from the leaf upwards.

    Raises:
        ArgumentError: there is no such leaf.
    """
    check_size(size)
    if not 0 <= index < size:
        raise ArgumentError(f"there is no leaf {index} in a tree of {size} leaves")
    runs = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left_half(end - start)
        if index < middle:
            runs.append(Run(middle, end))
            end = middle
        else:
            runs.append(Run(start, middle))
            start = middle
    return tuple(reversed(runs))


def consistency_runs(old: int, new: int) -> tuple[Run, ...]:
    """PROOF(old, D[new]) of section 2.1.4.1, as runs of leaves, in the proof's order; none for an empty old tree.

    Raises:
        ArgumentError: the earlier tree is the larger one, or a size is not one of a tree.
    """
    check_size(new)
    if not 0 <= old <= new:
        raise ArgumentError(f"a tree of {new} leaves can't have grown out of one of {old}")
    if old == 0:
        return ()
    runs = []
    start, end = 0, new
    while end != old:
        middle = start + _left_half(end - start)
        if old <= middle:
            runs.append(Run(middle, end))
            end = middle
        else:
            runs.append(Run(start, middle))
            start = middle
    if start:  # from 0 on it is the whole earlier tree, whose root the verifier has
        runs.append(Run(start, end))
    return tuple(reversed(runs))


def pieces(run: Run) -> tuple[Place, ...]:
    """The complete subtrees that a run of a proof falls into, largest first."""
    found = []
    start, end = run
    while start < end:
        level = (end - start).bit_length() - 1
        found.append(Place(level, start >> level))
        start += 1 << level
    return tuple(found)


def check_size(size: int) -> None:
    """Refuse a number that is not the size of a tree.

    Raises:
        ArgumentError: it is below 0 or above :data:`LARGEST_TREE`.
    """
    if not 0 <= size <= LARGEST_TREE:
        raise ArgumentError(f"a tree has 0 to {LARGEST_TREE} leaves, not {size}")


def _left_half(leaves: int) -> int:
    """The largest power of two below a number of leaves that is 2 or more."""
    return 1 << (leaves - 1).bit_length() - 1
