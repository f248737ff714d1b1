"""What the intake has done in all, counted out of the audit log.

Rules: the log is counted once and then only what came since; receipts are what is left of its size, so that they need
no counting; nothing in the counts is of one person.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.audit.entries import Entry
from scanner.intake.cases.lifecycle import CaseOutcome
from scanner.intake.store.engine import Store
from scanner.intake.store.tables import LOG_ENTRIES, LOG_HEAD

KEPT_SECONDS = 30.0
NO_RECEIPT = LOG_ENTRIES.c.kind != literal_column("'receipt'")  # a literal, so that a partial index can serve


@dataclass(frozen=True, slots=True)
class Total:
    """Counts at one time.

    Attributes:
        size: entries of the log.
        kinds: how many of each kind.
        outcomes: how many cases stand closed with each outcome, and ``None`` for those that are open.
        note: the signed checkpoint of this very log.
    """

    size: int
    kinds: Counter[str]
    outcomes: Counter[CaseOutcome | None]
    note: str


@dataclass(slots=True)
class Totals:
    """Counts, and how far they are. One for each worker."""

    _size: int = 0
    _kinds: Counter[str] = field(default_factory=Counter)
    _cases: dict[str, CaseOutcome | None] = field(default_factory=dict)
    _latest: Total | None = None
    _read_at: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def now(self, store: Store, at: float) -> Total:
        """The counts, at most ``KEPT_SECONDS`` old.

        Raises:
            StorageError: the database fails.
        """
        async with self._turn:
            if self._latest is None or not 0 <= at - self._read_at < KEPT_SECONDS:
                async with store.reading() as db:
                    self._latest = await self._count(db)
                self._read_at = at
            return self._latest

    async def _count(self, db: AsyncConnection) -> Total:
        head = (await db.execute(select(LOG_HEAD.c.size, LOG_HEAD.c.note))).one()
        new = LOG_ENTRIES.c.position >= self._size, LOG_ENTRIES.c.position < head.size, NO_RECEIPT
        counted = select(LOG_ENTRIES.c.kind, func.count()).where(*new).group_by(LOG_ENTRIES.c.kind)
        kinds = Counter(self._kinds)
        for kind, number in await db.execute(counted):
            kinds[kind] += number
        told = select(LOG_ENTRIES.c.body).where(*new, LOG_ENTRIES.c.kind.in_(("case", "closing")))
        cases = dict(self._cases)
        for body in (await db.execute(told.order_by(LOG_ENTRIES.c.position))).scalars():
            entry = Entry.from_bytes(body)
            outcome = entry.fields.get("outcome")
            cases[entry.fields["case"]] = None if outcome is None else CaseOutcome(outcome)
        self._size, self._kinds, self._cases = head.size, kinds, cases
        receipts = Counter(receipt=head.size - kinds.total())
        return Total(head.size, kinds + receipts, Counter(cases.values()), head.note)
