"""The Merkle tree cut into tiles, each the hashes of one level in a row (C2SP tlog-tiles).

Rules: a tile holds 1 to 256 hashes of 32 bytes, side by side; a tile of level L holds roots of subtrees of 256**L
leaves, so level 0 holds the leaves; only whole subtrees are in a tile, so a full tile never changes, and one that is
not full only grows; every complete subtree of a tree can be worked out from one tile of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from scanner.errors import ArgumentError, StorageError
from scanner.intake.audit.merkle import HASH_SIZE, TILE, Frontier, SubtreeRoot, root_of
from scanner.intake.audit.places import check_size

WIDTH = 1 << TILE  # hashes in a full tile


class Tile(NamedTuple):
    """Which tile: the ``number``-th, from 0, of its level."""

    level: int
    number: int


def tile_width(tile: Tile, size: int) -> int:
    """Count the hashes that a tile of a tree holds, 0 to 256.

    Raises:
        ArgumentError: ``size`` is not the size of a tree.
    """
    check_size(size)
    begun = (size >> TILE * tile.level) - WIDTH * tile.number
    return min(max(begun, 0), WIDTH)


def edge_tiles(size: int) -> tuple[Tile, ...]:
    """List the tiles of a tree that are begun and not full: one a level at most, and all that growth will change.

    Raises:
        ArgumentError: it is not the size of a tree.
    """
    check_size(size)
    levels = range(-(-size.bit_length() // TILE))
    last = (Tile(level, size >> TILE * (level + 1)) for level in levels)
    return tuple(tile for tile in last if tile_width(tile, size))


def full_tiles(old: int, new: int) -> tuple[Tile, ...]:
    """List the tiles that become full when a tree grows, the lowest level first.

    Args:
        old: leaves before.
        new: leaves after.

    Raises:
        ArgumentError: the tree would shrink, or a size is not one of a tree.
    """
    check_size(old)
    check_size(new)
    if old > new:
        raise ArgumentError(f"a tree of {old} leaves can't grow to {new}")
    levels = range(1, new.bit_length() // TILE + 1)
    return tuple(
        Tile(level - 1, number) for level in levels for number in range(old >> TILE * level, new >> TILE * level)
    )


def grow_tiles(
    frontier: Frontier, edge: Mapping[Tile, bytes], leaves: Iterable[bytes]
) -> tuple[Frontier, dict[Tile, bytes]]:
    """Add leaves to a tree kept in tiles.

    Args:
        frontier: the tree's, before.
        edge: the tiles of :func:`edge_tiles` for ``frontier.size``.
        leaves: leaf hashes, 32 bytes each, in order.

    Returns:
        the tree's new frontier; every tile that is new or longer, whole.

    Raises:
        ArgumentError: a leaf is not a hash of 32 bytes, or the tree would be too large.
        StorageError: a tile of the edge is missing or has another length than the size asks.
    """
    grown, rows = frontier.grow(leaves)
    tiles: dict[Tile, bytes] = {}
    for level, number, hashes in rows:
        first = Tile(level, number // WIDTH)
        kept = number % WIDTH
        before = _read(edge, first, HASH_SIZE * kept)
        if len(before) != HASH_SIZE * kept:
            raise StorageError(
                f"tile {first.number} of level {level} is longer than the tree of {frontier.size} leaves"
            )
        row = before + b"".join(hashes)
        for start in range(0, len(row), HASH_SIZE * WIDTH):
            tile = Tile(level, first.number + start // (HASH_SIZE * WIDTH))
            tiles[tile] = row[start : start + HASH_SIZE * WIDTH]
    return grown, tiles


def tiles_with(places: Iterable[tuple[int, int]]) -> tuple[Tile, ...]:
    """List the tiles from which the roots of complete subtrees can be worked out, each once, in order.

    Args:
        places: (level, number) of each, as from :func:`~scanner.intake.audit.places.inclusion_places`.
    """
    return tuple(sorted({_tile_of(*place) for place in places}))


def subtrees_in(tiles: Mapping[Tile, bytes]) -> SubtreeRoot:
    """Serve the roots of complete subtrees out of tiles, for a proof.

    Args:
        tiles: at least those of :func:`tiles_with`; they may be of a larger tree.

    Returns:
        a function of (level, number); it raises StorageError if its tile is missing or too short.
    """

    def subtree(level: int, number: int) -> bytes:
        height = level % TILE
        start = (number << height) % WIDTH * HASH_SIZE
        end = start + (HASH_SIZE << height)
        tile = _read(tiles, _tile_of(level, number), end)
        return root_of(tile[place : place + HASH_SIZE] for place in range(start, end, HASH_SIZE))

    return subtree


def _tile_of(level: int, number: int) -> Tile:
    return Tile(level // TILE, number >> (TILE - level % TILE))


def _read(tiles: Mapping[Tile, bytes], tile: Tile, least: int) -> bytes:
    """Take a tile of at least so many bytes."""
    body = tiles.get(tile, b"")
    if len(body) < least:
        raise StorageError(f"tile {tile.number} of level {tile.level} is missing or cut")
    return body
