"""Compare rows with what the audit log says they must be.

Rules: every column is compared, or named in :data:`UNPROTECTED` with the reason; values are compared as the driver
gives them, so that one of another type is a difference and no error; tables are streamed.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Select, Table, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import NullType

from scanner.intake.audit.findings import Findings

PIECE = 4_096
"""Rows held at once."""

UNPROTECTED: dict[str, str] = {
    "sessions.expires_at": "moves with each use, which is not logged; a session ends 8 hours after began_at anyhow",
    "windows.counted_at": "when vouchers were counted last, for show; counting tells nobody anything and is not logged",
    "cases.lease_by": "who looks at a case for the next 15 minutes; what is written or decided is logged",
    "cases.lease_until": "the end of that; it holds nothing up for longer than a reviewer may take anyhow",
    "checkpoints.made_at": "when the copy of a checkpoint was kept; the checkpoint itself is signed",
    "hook_messages.message_id": "the queue of webhooks: what they tell is in the log, and who gets one may ask there",
    "hook_messages.hook_id": "as message_id",
    "hook_messages.event": "as message_id",
    "hook_messages.body": "as message_id",
    "hook_messages.made_at": "as message_id",
    "hook_messages.state": "as message_id",
    "hook_messages.attempts": "as message_id",
    "hook_messages.due_at": "as message_id",
    "hook_messages.last_status": "as message_id",
    "hook_messages.ended_at": "as message_id",
}
"""Columns that the log says nothing of, and why."""

UNNOTICED = {
    "checkpoints": "copies, kept for those who ask later; a missing one leaves less to ask for and hides nothing",
    "hook_messages": "as its columns",
}
"""Tables of which a missing row is not noticed, and why; of the second, no row is."""

Key: TypeAlias = tuple[Any, ...]
Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Digest:
    """Equal to bytes or text of this SHA-256."""

    digest: bytes

    def is_of(self, value: object) -> bool:
        """Whether a value is what the digest is of."""
        if isinstance(value, str):
            value = value.encode(errors="surrogatepass")
        return isinstance(value, bytes) and hashlib.sha256(value).digest() == self.digest


@dataclass(frozen=True, slots=True)
class Between:
    """Equal to integers from ``least`` to ``most``."""

    least: int
    most: int

    def is_of(self, value: object) -> bool:
        """Whether a value is one of them."""
        return type(value) is int and self.least <= value <= self.most


def as_stored(table: Table) -> Select[Any]:
    """All columns of a table, their values as the driver gives them."""
    columns: list[Any] = [type_coerce(column, NullType()).label(column.name) for column in table.columns]
    return select(*columns)


async def pieces_of(db: AsyncConnection, query: Select[Any], size: int = PIECE) -> AsyncGenerator[list[Any], None]:
    """Stream a query's rows, a piece at a time."""
    async with db.stream(query.execution_options(yield_per=size)) as result:
        async for rows in result.partitions(size):
            yield list(rows)


async def compare(db: AsyncConnection, table: Table, expected: dict[Key, Row], findings: Findings) -> None:
    """Compare a whole table, both ways.

    Args:
        db: to read from.
        table: which.
        expected: by primary key, what each row's other columns must be: a value, a :class:`Digest` or a
            :class:`Between`; used up.
        findings: told what differs.
    """
    keys = [column.name for column in table.primary_key.columns]
    async for rows in pieces_of(db, as_stored(table)):
        for row in rows:
            found = row._mapping  # noqa: SLF001 -- SQLAlchemy's public name for it
            key = tuple(found[name] for name in keys)
            wanted = expected.pop(key, None)
            if wanted is None:
                findings.add(table.name, key, "the log does not know this row, or says it was deleted")
                continue
            for name in differing(wanted, found):
                findings.add(table.name, key, f"{name} is not what the log says")
    for key in expected:
        findings.add(table.name, key, "the row is missing")


def differing(wanted: Row, found: Row) -> list[str]:
    """Names of the columns whose values are not the wanted ones."""
    return [name for name, value in wanted.items() if not _is(value, found[name])]


def _is(wanted: object, found: object) -> bool:
    if isinstance(wanted, (Digest, Between)):
        return wanted.is_of(found)
    return type(wanted) is type(found) and wanted == found
