"""One change to the database: what it writes and what the audit log says of it are committed together.

Rules: there is one writer at a time, over all workers; whoever writes has the log's head locked from the start, so that
positions are known before they are written; a change that raises leaves nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.audit.checkpoints import Checkpoint
from scanner.intake.audit.entries import Entry
from scanner.intake.audit.merkle import Frontier, leaf_hash
from scanner.intake.store.engine import Store
from scanner.intake.store.tables import LOG_ENTRIES, LOG_HEAD
from scanner.intake.store.tiles import add_leaves


@dataclass(frozen=True, slots=True)
class Writer:
    """Makes changes.

    Attributes:
        store: the database.
        origin: the log's name in its checkpoints, a DNS name or URL without scheme.
        signing_key: signs checkpoints.
    """

    store: Store
    origin: str
    signing_key: Ed25519PrivateKey

    @asynccontextmanager
    async def change(self, at: float) -> AsyncIterator[Change]:
        """Begin a change; it is committed when the block ends.

        Args:
            at: the time, in seconds since 1970.

        Raises:
            StorageError: nothing was changed.
        """
        async with self.store.writing() as db:
            locked = select(LOG_HEAD.c.frontier).with_for_update()  # SQLite has locked already, and ignores this
            frontier = (await db.execute(locked)).scalar_one()
            change = Change(db, int(at), Frontier.from_bytes(frontier))
            yield change
            await self._append(change)

    async def _append(self, change: Change) -> None:
        if not change.entries:
            return
        db, before = change.db, change.before
        bodies = [entry.to_bytes() for entry in change.entries]
        rows = [
            {"position": position, "kind": entry.kind, "at": entry.at, "body": body}
            for position, (entry, body) in enumerate(zip(change.entries, bodies, strict=True), before.size)
        ]
        await db.execute(insert(LOG_ENTRIES), rows)
        after = await add_leaves(db, before, [leaf_hash(body) for body in bodies])
        head = {"size": after.size, "frontier": after.to_bytes(), "note": self.note(after)}
        await db.execute(update(LOG_HEAD).values(head))

    def note(self, tree: Frontier) -> str:
        """Sign a checkpoint of the log at this size."""
        return Checkpoint(self.origin, tree.size, tree.root()).sign(self.signing_key)


class Change:
    """A change under way.

    Attributes:
        db: the transaction.
        at: its time, in whole seconds since 1970.
        before: the log before it.
        entries: what the log will say of it.
    """

    def __init__(self, db: AsyncConnection, at: int, before: Frontier) -> None:
        self.db = db
        self.at = at
        self.before = before
        self.entries: list[Entry] = []

    def log(self, kind: str, *, at: int | None = None, **fields: Any) -> int:
        """Have the log say something; gives its position.

        Args:
            kind: one of :data:`scanner.intake.audit.entries.KINDS`.
            at: its time, if it is not that of the change.
            fields: those of the kind.
        """
        self.entries.append(Entry(kind, self.at if at is None else at, fields))
        return self.before.size + len(self.entries) - 1
