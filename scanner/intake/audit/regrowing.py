"""Grow the audit log's tree again from its entries, and compare all that is kept of it: tiles, checkpoints, head.

Rules: the tree is made of the entries' bodies alone; a checkpoint counts only if its log's key signed it; memory does
not grow with the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, not_, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.errors import VoucherError
from scanner.intake.audit.checkpoints import Checkpoint
from scanner.intake.audit.comparing import as_stored, pieces_of
from scanner.intake.audit.findings import Findings
from scanner.intake.audit.merkle import HASH_SIZE, Frontier, consistency_proof, verify_consistency
from scanner.intake.audit.notes import Verifier
from scanner.intake.audit.places import consistency_places
from scanner.intake.audit.tiles import WIDTH, Tile, edge_tiles, grow_tiles, subtrees_in, tile_width, tiles_with
from scanner.intake.store.tables import CHECKPOINTS, LOG_HEAD, LOG_TILES
from scanner.intake.store.tiles import read_tiles

_FULL = WIDTH * HASH_SIZE
_AT_ONCE = 64  # tiles of 8 kB


class Regrowth:
    """The tree, as far as entries were given.

    Args:
        db: has the tiles and checkpoints.
        verifiers: the log's keys.
        since: checkpoints kept elsewhere, each with a name for findings; they are of this log.
        findings: told what differs.

    Attributes:
        tree: what has grown.
        checkpoints: how many that the database keeps are good.
    """

    def __init__(
        self,
        db: AsyncConnection,
        verifiers: Sequence[Verifier],
        since: Mapping[str, Checkpoint],
        findings: Findings,
    ) -> None:
        self._db = db
        self._verifiers = verifiers
        self._since = since
        self._findings = findings
        self._edge: dict[Tile, bytes] = {}
        self._tiles_are_good = True
        self.tree = Frontier()
        self.checkpoints = 0

    async def add(self, leaves: Sequence[bytes]) -> None:
        """Grow by leaf hashes, and compare what became final with what is kept."""
        end = self.tree.size + len(leaves)
        kept = await self._kept(self.tree.size, end)
        marks = {row.size for row in kept} | {one.size for one in self._since.values()}
        begun, roots = self.tree.size, {}
        for size in sorted({mark for mark in marks if begun < mark < end} | {end}):
            await self._grow(leaves[self.tree.size - begun : size - begun])
            roots[size] = self.tree.root()
        for row in kept:
            self.checkpoints += self._check_kept(row, roots[row.size])
        for name, checkpoint in self._since.items():
            if begun < checkpoint.size <= end and roots[checkpoint.size] != checkpoint.root:
                self._findings.add("log_entries", (), f"the log does not begin as the checkpoint {name} says")

    async def finish(self) -> None:
        """Compare what is left when the last entry was given."""
        size = self.tree.size
        await self._compare_tiles(self._edge)
        tile = LOG_TILES.c
        async for rows in pieces_of(self._db, as_stored(LOG_TILES).with_only_columns(tile.level, tile.number)):
            for row in rows:
                if not _is_tile(row.level, row.number, size):
                    self._findings.add(LOG_TILES.name, row, "the log has no such tile")
        within = and_(CHECKPOINTS.c.size > 0, CHECKPOINTS.c.size <= size)
        async for rows in pieces_of(self._db, as_stored(CHECKPOINTS).where(not_(within))):
            for row in rows:
                self._findings.add(CHECKPOINTS.name, (row.size,), "the log never was of this size")
        await self._check_head()
        for name, checkpoint in self._since.items():
            await self._check_since(name, checkpoint)

    async def _grow(self, leaves: Sequence[bytes]) -> None:
        grown, tiles = grow_tiles(self.tree, self._edge, leaves)
        await self._compare_tiles({tile: hashes for tile, hashes in tiles.items() if len(hashes) == _FULL})
        self._edge = {tile: tiles.get(tile) or self._edge[tile] for tile in edge_tiles(grown.size)}
        self.tree = grown

    async def _compare_tiles(self, tiles: Mapping[Tile, bytes]) -> None:
        wanted = list(tiles)
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            key = tuple_(LOG_TILES.c.level, LOG_TILES.c.number)
            rows = await self._db.execute(as_stored(LOG_TILES).where(key.in_(some)))
            found = {(row.level, row.number): row.hashes for row in rows}
            for tile in some:
                if found.get(tile) != tiles[tile]:
                    what = "hashes are not those of the entries" if tile in found else "the tile is missing"
                    self._findings.add(LOG_TILES.name, tile, what)
                    self._tiles_are_good = False
                    if tile.level == 0:
                        self._find_entries(tile, tiles[tile], found.get(tile))

    def _find_entries(self, tile: Tile, hashes: bytes, kept: object) -> None:
        """Name the entries whose hashes a tile has otherwise."""
        if not isinstance(kept, bytes):
            return
        for start in range(0, min(len(hashes), len(kept)), HASH_SIZE):
            if hashes[start : start + HASH_SIZE] != kept[start : start + HASH_SIZE]:
                position = WIDTH * tile.number + start // HASH_SIZE
                self._findings.add("log_entries", (position,), "body is not what the tile has the hash of")

    async def _kept(self, after: int, through: int) -> Sequence[Any]:
        within = and_(CHECKPOINTS.c.size > after, CHECKPOINTS.c.size <= through)
        rows = (await self._db.execute(as_stored(CHECKPOINTS).where(within).order_by(CHECKPOINTS.c.size))).all()
        return [row for row in rows if type(row.size) is int]

    def _check_kept(self, row: Any, root: bytes) -> bool:
        try:
            checkpoint = self._parsed(row.note)
        except VoucherError:
            checkpoint = None
        if checkpoint is None:
            self._findings.add(CHECKPOINTS.name, (row.size,), "note is not a checkpoint that the log's key signed")
        elif checkpoint.size != row.size:
            self._findings.add(CHECKPOINTS.name, (row.size,), "size is not that of its note")
        elif checkpoint.root != root:
            self._findings.add(CHECKPOINTS.name, (row.size,), "the log was another one when this was signed")
        else:
            return True
        return False

    async def _check_head(self) -> None:
        rows = (await self._db.execute(as_stored(LOG_HEAD))).all()
        for row in rows:
            if row.one != 1 or len(rows) > 1:
                self._findings.add(LOG_HEAD.name, (row.one,), "there is one head, and its key is 1")
            if row.size != self.tree.size:
                self._findings.add(LOG_HEAD.name, (row.one,), "size is not the number of entries")
            if row.frontier != self.tree.to_bytes():
                self._findings.add(LOG_HEAD.name, (row.one,), "frontier is not that of the entries")
            self._check_head_note(row)
        if not rows:
            self._findings.add(LOG_HEAD.name, (1,), "the row is missing")

    def _check_head_note(self, row: Any) -> None:
        if row.note == "" and self.tree.size == 0:
            return
        try:
            checkpoint = self._parsed(row.note)
        except VoucherError:
            self._findings.add(LOG_HEAD.name, (row.one,), "note is not a checkpoint that the log's key signed")
            return
        if checkpoint is None or (checkpoint.size, checkpoint.root) != (self.tree.size, self.tree.root()):
            self._findings.add(LOG_HEAD.name, (row.one,), "note is not the checkpoint of these entries")
        if checkpoint is not None and checkpoint.size < self.tree.size:
            what = "this entry, and what is behind it, is past the newest checkpoint"
            self._findings.add("log_entries", (checkpoint.size,), what)

    def _parsed(self, note: object) -> Checkpoint | None:
        return Checkpoint.parse(note, *self._verifiers) if isinstance(note, (str, bytes)) else None

    async def _check_since(self, name: str, checkpoint: Checkpoint) -> None:
        """Prove it with the tiles too, as the intake would prove it to anyone."""
        old, new = checkpoint.size, self.tree.size
        if old > new:
            self._findings.add("log_entries", (), f"the log is shorter than the checkpoint {name} says")
        elif self._tiles_are_good:  # else it is told already
            tiles = await read_tiles(self._db, tiles_with(consistency_places(old, new)))
            proof = consistency_proof(old, new, subtrees_in(tiles))
            if not verify_consistency(old, checkpoint.root, new, self.tree.root(), proof):
                self._findings.add("log_entries", (), f"the log did not grow out of the checkpoint {name}")


def _is_tile(level: object, number: object, size: int) -> bool:
    if not (type(level) is int and type(number) is int and 0 <= level < HASH_SIZE and number >= 0):
        return False
    return tile_width(Tile(level, number), size) > 0
