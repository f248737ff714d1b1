"""The Merkle tree against RFC 9162's own recursion and the vectors of the certificate-transparency project."""

from __future__ import annotations

import dataclasses
from functools import cache
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ArgumentError, StorageError
from scanner.intake.audit import merkle
from scanner.intake.audit.merkle import (
    EMPTY_ROOT,
    TILE,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from scanner.intake.audit.places import (
    LARGEST_TREE,
    consistency_places,
    consistency_runs,
    frontier_places,
    inclusion_places,
    inclusion_runs,
)
from tests.intake.audit import merkle_oracle as oracle

# transparency-dev/merkle, testonly/constants.go: leaf inputs, and the root of the first 0, 1, 2 ... 8 of them.
CT_ENTRIES = tuple(
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
)
CT_ROOTS = [
    bytes.fromhex(root)
    for root in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
# The proofs of the same project's log_verifier_test.go: (index or old size, size, hashes).
CT_INCLUSION = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CT_CONSISTENCY = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]

LARGEST = 70
ENTRIES = tuple(b"entry %d" % number for number in range(LARGEST))
LEAVES = tuple(leaf_hash(entry) for entry in ENTRIES)
ROOTS = [oracle.tree_head(ENTRIES[:size]) for size in range(LARGEST + 1)]

sizes = st.integers(0, LARGEST)


@cache
def subtree(level: int, number: int) -> bytes:
    """The root of a complete subtree, by the oracle; asking past the end of the entries fails the test."""
    entries = ENTRIES[number << level : (number + 1) << level]
    assert len(entries) == 1 << level
    return oracle.tree_head(entries)


def only(places):
    """Serve these complete subtrees, each of them once."""
    left = {place: subtree(*place) for place in places}
    assert len(left) == len(places)
    return lambda *place: left.pop(place), left


@st.composite
def places_in_a_tree(draw):
    """A tree's size and one of its leaves."""
    size = draw(st.integers(1, LARGEST))
    return draw(st.integers(0, size - 1)), size


@st.composite
def growths(draw):
    """Sizes of an earlier and a later tree."""
    new = draw(sizes)
    return draw(st.integers(0, new)), new


def damaged(proof):
    """Every proof that a small change makes of one: a bit turned, a hash dropped, added, doubled, cut, or moved."""
    for at, part in enumerate(proof):
        head, tail = proof[:at], proof[at + 1 :]
        yield (*head, bytes([part[0] ^ 1]) + part[1:], *tail)
        yield (*head, part[:-1] + bytes([part[-1] ^ 128]), *tail)
        yield (*head, *tail)
        yield (*head, part, part, *tail)
        yield (*head, part[:-1], *tail)
        yield (*head, part + b"\x00", *tail)
        yield (*head, b"", *tail)
        if tail:
            yield (*head, tail[0], part, *tail[1:])
    yield (*proof, EMPTY_ROOT)
    yield (EMPTY_ROOT, *proof)
    yield (*proof, *proof, EMPTY_ROOT)


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size):
    """The roots of the first entries are those of the certificate-transparency project."""
    assert root_of(map(leaf_hash, CT_ENTRIES[:size])) == CT_ROOTS[size]
    assert oracle.tree_head(CT_ENTRIES[:size]) == CT_ROOTS[size]


def ct_subtree(level: int, number: int) -> bytes:
    return root_of(map(leaf_hash, CT_ENTRIES[number << level : (number + 1) << level]))


@pytest.mark.parametrize(("index", "size", "hashes"), CT_INCLUSION)
def test_known_inclusion_proofs(index, size, hashes):
    """Proofs of inclusion are those of the certificate-transparency project, and verify."""
    proof = tuple(map(bytes.fromhex, hashes))
    assert inclusion_proof(index, size, ct_subtree) == proof
    assert verify_inclusion(leaf_hash(CT_ENTRIES[index]), index, size, proof, CT_ROOTS[size])


@pytest.mark.parametrize(("old", "new", "hashes"), CT_CONSISTENCY)
def test_known_consistency_proofs(old, new, hashes):
    """Proofs of consistency are those of the certificate-transparency project, and verify."""
    proof = tuple(map(bytes.fromhex, hashes))
    assert consistency_proof(old, new, ct_subtree) == proof
    assert verify_consistency(old, CT_ROOTS[old], new, CT_ROOTS[new], proof)


def test_leaves_and_nodes_are_hashed_apart():
    """The same bytes have another hash as an entry than as two subtrees, so neither can be passed off as the other."""
    left, right = LEAVES[:2]
    assert node_hash(left, right) != leaf_hash(left + right)
    assert node_hash(left, right) != node_hash(right, left)
    assert TILE == 8


def test_roots_at_every_size():
    """A frontier grown leaf by leaf, or at once, has the root the recursion gives, at every size."""
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for size, root in enumerate(ROOTS):
        assert frontier.root() == root
        assert root_of(LEAVES[:size]) == root
        assert frontier.hashes == tuple(subtree(*place) for place in frontier_places(size))
        if size < LARGEST:
            frontier = frontier.append(LEAVES[size])


@given(st.lists(sizes, max_size=6))
def test_batches_make_no_difference(cuts):
    """However the leaves are dealt out to calls of extend, the frontier is the same, and so is the one before."""
    ends = sorted(cuts)
    frontier = Frontier()
    for start, end in zip([0, *ends], [*ends, LARGEST], strict=True):
        before = frontier
        frontier = frontier.extend(LEAVES[start:end])
        assert before.size == start
        assert before.root() == ROOTS[start]
    assert frontier == Frontier().extend(LEAVES)


@pytest.mark.parametrize("old", [0, 1, 777, 1023])
def test_growing_costs_a_hash_a_leaf(old, monkeypatch):
    """With its own hash a leaf costs two, and what was there before a few: one for each level at most."""
    hashed = []

    def counting(data: bytes) -> Any:
        hashed.append(data)
        return sha256(data)

    frontier = Frontier().extend([EMPTY_ROOT] * old)
    monkeypatch.setattr(merkle, "sha256", counting)
    frontier.extend([leaf_hash(b"%d" % number) for number in range(1000)])
    assert len(hashed) <= 2 * 1000 + (old + 1000).bit_length()


@given(growths())
def test_rows_are_the_new_hashes_of_each_level_of_tiles(growth):
    """Growing tells the new leaves, and where they start; no level above them has a whole tile's root below 256."""
    old, new = growth
    frontier, rows = Frontier().extend(LEAVES[:old]).grow(iter(LEAVES[old:new]))
    assert frontier.root() == ROOTS[new]
    assert list(rows) == ([(0, old, LEAVES[old:new])] if old < new else [])


def test_every_inclusion_proof():
    """For every leaf of every size the proof is the recursion's, verifies, and asks for no subtree but those listed."""
    for size in range(1, LARGEST + 1):
        for index in range(size):
            serve, left = only(inclusion_places(index, size))
            proof = inclusion_proof(index, size, serve)
            assert not left
            assert proof == oracle.path(index, ENTRIES[:size])
            assert verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


def test_every_consistency_proof():
    """For every two sizes the proof is the recursion's, verifies, and asks for no subtree but those listed."""
    for new in range(LARGEST + 1):
        for old in range(new + 1):
            serve, left = only(consistency_places(old, new))
            proof = consistency_proof(old, new, serve)
            assert not left
            assert proof == (oracle.proof(old, ENTRIES[:new]) if old else ())
            assert verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)


@given(places_in_a_tree())
def test_no_other_inclusion_proof_verifies(place):
    """A changed proof, leaf, index, size or root is refused."""
    index, size = place
    leaf, root = LEAVES[index], ROOTS[size]
    proof = inclusion_proof(index, size, subtree)
    for wrong in damaged(proof):
        assert not verify_inclusion(leaf, index, size, wrong, root)
    for other in range(-1, LARGEST + 2):
        assert verify_inclusion(leaf, other, size, proof, root) is (other == index)
    for other, other_root in enumerate(ROOTS):
        assert verify_inclusion(leaf, index, size, proof, other_root) is (other == size)
        assert not verify_inclusion(leaf, index, other, proof, other_root) or other == size
    for wrong in (LEAVES[index - 1] if size > 1 else EMPTY_ROOT, root + b"\x00", root[1:], b""):
        assert not verify_inclusion(wrong, index, size, proof, root)
    for wrong in (root + b"\x00", root[1:], b""):
        assert not verify_inclusion(leaf, index, size, proof, wrong)


@given(growths())
def test_no_other_consistency_proof_verifies(growth):
    """A changed proof, size or root is refused."""
    old, new = growth
    proof = consistency_proof(old, new, subtree)
    for wrong in damaged(proof):
        assert not verify_consistency(old, ROOTS[old], new, ROOTS[new], wrong)
    for other, root in enumerate(ROOTS):
        assert verify_consistency(old, root, new, ROOTS[new], proof) is (other == old)
        assert verify_consistency(old, ROOTS[old], new, root, proof) is (other == new or (old == 0 and new > 0))
        assert not verify_consistency(other, root, new, ROOTS[new], proof) or other in (0, old, new)
    for wrong in (ROOTS[new] + b"\x00", ROOTS[new][1:], b""):
        assert not verify_consistency(old, ROOTS[old], new, wrong, proof)
        assert not verify_consistency(old, wrong, new, ROOTS[new], proof)
    assert not verify_consistency(-1, ROOTS[old], new, ROOTS[new], proof)
    if old < new:
        assert not verify_consistency(new, ROOTS[new], old, ROOTS[old], proof)


def test_a_proof_has_the_length_of_its_place():
    """Up to 20 leaves, a real proof with the real root is refused for every place whose proof is longer or shorter."""
    places = [(index, size) for size in range(1, 21) for index in range(size)]
    for index, size in places:
        proof = inclusion_proof(index, size, subtree)
        for claim in places:
            if len(inclusion_runs(*claim)) != len(proof):
                assert not verify_inclusion(LEAVES[index], *claim, proof, ROOTS[size])


def test_a_consistency_proof_has_the_length_of_its_sizes():
    """Up to 20 leaves, a real proof with the real roots is refused for all sizes whose proof is longer or shorter."""
    growths = [(old, new) for new in range(1, 21) for old in range(1, new)]
    for old, new in growths:
        proof = consistency_proof(old, new, subtree)
        for one, other in growths:
            if len(consistency_runs(one, other)) != len(proof):
                assert not verify_consistency(one, ROOTS[old], other, ROOTS[new], proof)


def test_hashes_are_not_cut_elsewhere():
    """Two hashes as one of 64 bytes, and bytes moved from one to its neighbour, hash the same and are refused."""
    left, right = LEAVES[:2]
    root = ROOTS[2]
    both = left + right
    for at in (0, 31, 33, 64):
        assert node_hash(both[:at], both[at:]) == root
        assert not verify_inclusion(both[:at], 0, 2, (both[at:],), root)
        assert not verify_inclusion(both[at:], 1, 2, (both[:at],), root)
        assert not verify_consistency(1, both[:at], 2, root, (both[at:],))
    assert verify_inclusion(left, 0, 2, (right,), root)


def test_sizes_that_are_none_are_refused():
    """A tree that shrank, or has fewer leaves than none, is refused though the hashes work out."""
    assert not verify_consistency(3, ROOTS[1], 2, ROOTS[2], LEAVES[:2])
    assert not verify_consistency(-1, EMPTY_ROOT, -1, EMPTY_ROOT, ())
    assert not verify_inclusion(ROOTS[1], 0, 0, (), ROOTS[1])
    assert not verify_inclusion(ROOTS[1], -1, 1, (), ROOTS[1])


@given(places_in_a_tree(), st.lists(st.binary(min_size=32, max_size=32), max_size=9))
def test_made_up_proofs_are_refused(place, hashes):
    """Random hashes, in any number, prove nothing, for leaves and trees as large as can be too."""
    index, size = place
    assert verify_inclusion(LEAVES[index], index, size, hashes, ROOTS[size]) is (size == 1 and not hashes)
    assert not verify_inclusion(LEAVES[index], LARGEST_TREE - size, LARGEST_TREE, hashes, ROOTS[size])
    assert not verify_consistency(size, ROOTS[size], LARGEST_TREE, ROOTS[0], hashes)


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (-1, 5), (5, 5), (0, -1), (0, LARGEST_TREE + 1), (LARGEST_TREE, LARGEST_TREE)]
)
def test_no_proof_of_a_leaf_that_is_not_there(index, size):
    """Asking for it is an error of the caller, found before any subtree is read."""
    with pytest.raises(ArgumentError):
        inclusion_places(index, size)
    with pytest.raises(ArgumentError):
        inclusion_proof(index, size, subtree)


@pytest.mark.parametrize(("old", "new"), [(2, 1), (-1, 1), (-2, -1), (1, LARGEST_TREE + 1)])
def test_no_proof_that_a_tree_shrank(old, new):
    """Asking for it is an error of the caller, found before any subtree is read."""
    with pytest.raises(ArgumentError):
        consistency_places(old, new)
    with pytest.raises(ArgumentError):
        consistency_proof(old, new, subtree)


@given(st.integers(1, LARGEST_TREE), st.data())
def test_proofs_of_huge_trees_cost_a_few_look_ups(size, data):
    """In a tree of any size, the subtrees lie in the tree, don't overlap, and with what is proved fill it."""
    index = data.draw(st.integers(0, size - 1))
    spans = [(number << level, (number + 1) << level) for level, number in inclusion_places(index, size)]
    assert len(spans) <= 2 * 63
    spans = sorted([*spans, (index, index + 1)])
    assert [end for _, end in spans] == [*(start for start, _ in spans[1:]), size]
    assert spans[0][0] == 0
    old = data.draw(st.integers(0, size))
    spans = sorted((number << level, (number + 1) << level) for level, number in consistency_places(old, size))
    assert len(spans) <= 2 * 63
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert all(end <= old or start >= old for start, end in spans)
    assert sum(end - start for start, end in spans if start >= old) == (size - old if old else 0)


@given(sizes)
def test_a_frontier_survives_being_written(size):
    """What was written is read back the same and has the same root."""
    frontier = Frontier().extend(LEAVES[:size])
    assert Frontier.from_bytes(frontier.to_bytes()) == frontier


@given(st.one_of(st.binary(max_size=8), st.binary(min_size=8, max_size=8 + 4 * 32), st.integers(0, 2**64 - 1)))
def test_a_frontier_is_read_or_refused(data):
    """Any bytes are a frontier, which is written back as those bytes, or StorageError."""
    if isinstance(data, int):
        data = data.to_bytes(8) + bytes(32 * data.bit_count())
    try:
        frontier = Frontier.from_bytes(data)
    except StorageError:
        return
    assert frontier.to_bytes() == data


@given(sizes, st.data())
def test_a_cut_frontier_is_refused(size, data):
    """No part of a written frontier is one, and neither is one with more behind it."""
    written = Frontier().extend(LEAVES[:size]).to_bytes()
    with pytest.raises(StorageError):
        Frontier.from_bytes(written[: data.draw(st.integers(0, len(written) - 1))])
    with pytest.raises(StorageError):
        Frontier.from_bytes(written + data.draw(st.binary(min_size=1, max_size=40)))


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(-1, ()), (1, ()), (0, LEAVES[:1]), (3, LEAVES[:1]), (1, (b"short",)), (LARGEST_TREE + 1, LEAVES[:1])],
)
def test_no_frontier_of_the_wrong_shape(size, hashes):
    """Its hashes fit its size, or there is none."""
    with pytest.raises(ArgumentError):
        Frontier(size, hashes)


@pytest.mark.parametrize("leaf", [b"", b"an entry, not its hash", bytes(31), bytes(33)])
def test_only_hashes_are_leaves(leaf):
    """Passing an entry where its hash belongs is refused, and the frontier is as it was."""
    frontier = Frontier().extend(LEAVES[:5])
    with pytest.raises(ArgumentError):
        frontier.extend([LEAVES[5], leaf])
    with pytest.raises(ArgumentError):
        frontier.append(leaf)
    assert frontier == Frontier().extend(LEAVES[:5])


def test_a_full_tree_takes_no_more():
    """The tree stops at the largest size, rather than at a database's error."""
    full = Frontier(LARGEST_TREE, tuple(bytes([bit]) * 32 for bit in range(63)))
    assert len(full.root()) == 32
    with pytest.raises(ArgumentError):
        full.append(LEAVES[0])


def test_a_frontier_does_not_change():
    """Its fields can't be set."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Frontier().size = 1
