"""Tiles against the C2SP specification's own formula, worked out leaf by leaf."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ArgumentError, StorageError
from scanner.intake.audit.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from scanner.intake.audit.places import LARGEST_TREE, consistency_places, frontier_places, inclusion_places
from scanner.intake.audit.tiles import (
    WIDTH,
    Tile,
    edge_tiles,
    full_tiles,
    grow_tiles,
    subtrees_in,
    tile_width,
    tiles_with,
)

LARGEST = 66_000  # beyond 256 * 256, so that the third level of tiles is begun
LEAVES = tuple(leaf_hash(b"%d" % number) for number in range(LARGEST))
sizes = st.one_of(
    st.integers(0, 1100),
    st.builds(lambda times, off: max(0, times * WIDTH + off), st.integers(0, 20), st.integers(-2, 2)),
    st.sampled_from([65_279, 65_280, 65_535, 65_536, 65_537, LARGEST]),
)


@cache
def node(level: int, number: int) -> bytes:
    """The root of a complete subtree, from the two below it."""
    if level == 0:
        return LEAVES[number]
    return node_hash(node(level - 1, 2 * number), node(level - 1, 2 * number + 1))


@cache
def nodes(level: int, start: int, end: int) -> bytes:
    """The roots of complete subtrees in a row, side by side."""
    return b"".join(node(level, number) for number in range(start, end))


def tile_at(tile: Tile, size: int) -> bytes:
    """MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l]) for every i that lies in the tree."""
    roots = range(tile.number * 256, tile.number * 256 + 256)
    lying = sum((root + 1) * 256**tile.level <= size for root in roots)
    return nodes(8 * tile.level, roots.start, roots.start + lying)


def frontier_at(size: int) -> Frontier:
    """The frontier of the first leaves."""
    return Frontier(size, tuple(node(*place) for place in frontier_places(size)))


def all_tiles(size: int) -> dict[Tile, bytes]:
    """Every tile of a tree that holds anything."""
    named = [Tile(level, number) for level in range(3) for number in range(size // 256 ** (level + 1) + 1)]
    return {tile: body for tile in named if (body := tile_at(tile, size))}


def test_the_specification_example():
    """70,000 leaves make the tiles that C2SP tlog-tiles says, and 256 make one full and one begun."""
    full = full_tiles(0, 70_000)
    assert [tile for tile in full if tile.level == 0] == [(0, number) for number in range(273)]
    assert [tile for tile in full if tile.level > 0] == [(1, 0)]
    assert {tile: tile_width(tile, 70_000) for tile in edge_tiles(70_000)} == {(0, 273): 112, (1, 1): 17, (2, 0): 1}
    assert full_tiles(0, 256) == ((0, 0),)
    assert {tile: tile_width(tile, 256) for tile in edge_tiles(256)} == {(1, 0): 1}
    assert (full_tiles(0, 0), edge_tiles(0)) == ((), ())


@given(sizes)
def test_full_tiles_and_the_edge_are_all_tiles(size):
    """The tiles of a tree are those that became full and those on its edge, with the widths said."""
    tiles = all_tiles(size)
    full, edge = full_tiles(0, size), edge_tiles(size)
    assert set(full) | set(edge) == set(tiles)
    assert len(full) + len(edge) == len(tiles)
    assert all(len(tiles[tile]) == 32 * WIDTH == 32 * tile_width(tile, size) for tile in full)
    assert all(0 < len(tiles[tile]) == 32 * tile_width(tile, size) < 32 * WIDTH for tile in edge)
    assert tile_width(Tile(0, size // WIDTH + 1), size) == 0


@settings(max_examples=25)
@given(st.lists(sizes, min_size=1, max_size=4))
def test_growing_writes_exactly_what_changed(ends):
    """From the edge alone, growth gives every tile that is new or longer, and no other; nothing full is touched."""
    old, frontier, kept = 0, Frontier(), {}
    for new in sorted(ends):
        edge = {tile: kept[tile] for tile in edge_tiles(old)}
        frontier, changed = grow_tiles(frontier, edge, LEAVES[old:new])
        after = all_tiles(new)
        assert changed == {tile: body for tile, body in after.items() if kept.get(tile) != body}
        assert frontier == frontier_at(new)
        assert [tile for tile in full_tiles(old, new) if len(changed[tile]) == 32 * WIDTH] == list(full_tiles(old, new))
        assert all(len(body) < 32 * WIDTH for tile, body in changed.items() if tile not in full_tiles(old, new))
        old, kept = new, kept | changed
        assert kept == after


@given(sizes, sizes, st.data())
def test_tiles_serve_every_proof(one, other, data):
    """Out of the tiles listed for it, and no others, a proof can be made that verifies; so can the frontier."""
    old, new = sorted((one, other))
    tiles = all_tiles(LARGEST if data.draw(st.booleans()) else new)

    def fetch(places):
        return subtrees_in({tile: tiles[tile] for tile in tiles_with(places)})

    parts = fetch(frontier_places(new))
    frontier = Frontier(new, tuple(parts(*place) for place in frontier_places(new)))
    assert frontier == frontier_at(new)
    proof = consistency_proof(old, new, fetch(consistency_places(old, new)))
    assert verify_consistency(old, frontier_at(old).root(), new, frontier.root(), proof)
    if new:
        index = data.draw(st.integers(0, new - 1))
        proof = inclusion_proof(index, new, fetch(inclusion_places(index, new)))
        assert verify_inclusion(LEAVES[index], index, new, proof, frontier.root())


def test_tiles_are_listed_once():
    """A proof's places are mostly in the same few tiles."""
    places = inclusion_places(70, 66_000)
    assert len(places) == 20
    assert tiles_with(places) == ((0, 0), (0, 257), (1, 0), (1, 1))


@pytest.mark.parametrize("cut", [None, 0, 32, 31, 33])
def test_a_tile_that_does_not_fit_its_tree_is_refused(cut):
    """Growing from an edge that is missing, too short or too long would sign a tree with holes: it raises instead."""
    frontier = frontier_at(300)
    edge = {tile: tile_at(tile, 300) for tile in edge_tiles(300)}
    tile = Tile(0, 1)
    body = edge.pop(tile)
    if cut is not None:
        edge[tile] = body[: len(body) - cut] if cut else body + bytes(32)
    with pytest.raises(StorageError, match="tile 1 of level 0"):
        grow_tiles(frontier, edge, LEAVES[300:302])


def test_a_missing_or_cut_tile_serves_no_proof():
    """What is not there is an error of the store, never a wrong hash."""
    whole = all_tiles(300)
    with pytest.raises(StorageError, match="tile 0 of level 0"):
        subtrees_in({})(3, 0)
    subtree = subtrees_in({tile: body[:-1] for tile, body in whole.items()})
    assert subtree(3, 0) == node(3, 0)
    with pytest.raises(StorageError, match="tile 0 of level 0"):
        subtree(7, 1)


@pytest.mark.parametrize(("old", "new"), [(2, 1), (-1, 1), (0, LARGEST_TREE + 1)])
def test_sizes_are_checked(old, new):
    """A tree does not shrink, and has a size that can be."""
    with pytest.raises(ArgumentError):
        full_tiles(old, new)
    for size in (-1, LARGEST_TREE + 1):
        with pytest.raises(ArgumentError):
            edge_tiles(size)
        with pytest.raises(ArgumentError):
            tile_width(Tile(0, 0), size)
