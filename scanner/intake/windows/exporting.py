"""Exports: what the opener is given of accounts' windows, and the record of it.

Rules: of each window it names, an export holds every voucher below one log position, so that the opener has all it
needs; the record, the vouchers' step and the log's entry are one change; requests wait for that change alone, for the
file is read before it; the file's bytes can be made again until one of its windows is deleted, and are checked against
the digest in the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO

from sqlalchemy import exists, func, insert, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.errors import StorageError
from scanner.intake.audit.entries import listed_bytes
from scanner.intake.hooks.outbox import tell
from scanner.intake.settings import Settings
from scanner.intake.store.change import Change, Writer
from scanner.intake.store.engine import Store
from scanner.intake.store.lifecycle import Step, sources, target
from scanner.intake.store.tables import EXPORTED_WINDOWS, EXPORTS, LOG_ENTRIES, LOG_HEAD, VOUCHERS
from scanner.intake.windows.choosing import Wanted, of_exported, selected
from scanner.intake.windows.contents import LAST, Listed, encoded
from scanner.intake.windows.counting import count_all, first_uncounted
from scanner.intake.windows.expiring import first_kept
from scanner.intake.windows.faults import WindowError

ATTEMPTS = 3
"""Times the file is read beside other changes; after that, with nobody else writing."""

_DISTURBING = ("export", "expiry", "case", "case-expiry")


@dataclass(frozen=True, slots=True)
class Export:
    """The record of an export.

    Attributes:
        export_id: 32 hexadecimal digits.
        operator_id: who asked for it; None: made at the machine.
        made_at: seconds since 1970.
        before: only windows before this one; None: all.
        windows: accounts' windows in it.
        vouchers: in all of them.
        through: it holds vouchers of log positions below this.
        digest: SHA-256 of the file.
    """

    export_id: str
    operator_id: str | None
    made_at: int
    before: int | None
    windows: int
    vouchers: int
    through: int
    digest: bytes

    @classmethod
    def of_row(cls, row: Any) -> Export:
        """Read a row of EXPORTS."""
        return cls(
            row.export_id,
            row.operator_id,
            row.made_at,
            row.before_window,
            row.windows,
            row.vouchers,
            row.through,
            row.digest,
        )


@dataclass(frozen=True, slots=True)
class _Survey:
    """What an export would be at one state of the database."""

    size: int
    through: int
    windows: int
    vouchers: int
    digest: bytes
    listed: bytes


async def make_export(
    writer: Writer, settings: Settings, at: float, wanted: Wanted, *, file: BinaryIO | None = None
) -> tuple[Export, bool]:
    """Make an export, unless there is one of that id.

    Windows whose grace has passed are left out, but for those with a case.

    Args:
        writer: makes the change.
        settings: of the intake.
        at: the time, in seconds since 1970.
        wanted: what to export.
        file: written with the file's bytes before the change; it stays empty if there is an export of that id.

    Returns:
        the record, and whether it is new.

    Raises:
        WindowError: ``id-taken``: there is an export of that id of other windows.
        StorageError: the database fails; no export was made.
        OSError: the file can't be written; no export was made.
    """
    for attempt in range(ATTEMPTS + 1):
        if (found := await _made_already(writer.store, wanted)) is not None:
            return found, False
        await count_all(writer, at)
        kept_from = first_kept(settings, at)
        async with writer.store.reading() as db:
            survey = await _survey(db, wanted, kept_from, file)
        async with writer.change(at) as change:
            if await find_export(change.db, wanted.export_id) is None:
                if await _disturbed(change.db, survey.size):
                    if attempt < ATTEMPTS:
                        continue
                    survey = await _survey(change.db, wanted, kept_from, file)
                return await _make(change, wanted, kept_from, survey), True
    raise AssertionError  # pragma: no cover -- the last attempt ends above


async def find_export(db: AsyncConnection, export_id: str) -> Export | None:
    """The record of an export, or None."""
    row = (await db.execute(select(EXPORTS).where(EXPORTS.c.export_id == export_id))).one_or_none()
    return None if row is None else Export.of_row(row)


async def is_whole(db: AsyncConnection, export: Export) -> bool:
    """Whether all of an export's windows are still there, so that its file can be made again."""
    query = select(func.count()).select_from(EXPORTED_WINDOWS).where(EXPORTED_WINDOWS.c.export_id == export.export_id)
    return bool((await db.execute(query)).scalar_one() == export.windows)


async def read_export(store: Store, export: Export, *, windows_at_once: int) -> AsyncGenerator[bytes, None]:
    """Make an export's file again; its end is given only if the whole file has the digest of the record.

    Args:
        store: the database.
        export: the record.
        windows_at_once: how many of its windows to list at once.

    Raises:
        StorageError: the database fails, or has other vouchers than the export was made of.
    """
    digest = hashlib.sha256()
    windows = _exported(store, export, windows_at_once)
    async with aclosing(encoded(store.reading, windows, export.through)) as parts:
        async for part in parts:
            digest.update(part)
            yield part
    digest.update(LAST)
    if digest.digest() != export.digest:
        raise StorageError(f"the vouchers of export {export.export_id} are not those that the log has its digest of")
    yield LAST


async def rewrite_export(store: Store, settings: Settings, export_id: str, file: BinaryIO) -> Export:
    """Write an earlier export's file again; gives its record.

    Raises:
        WindowError: ``unknown-export``, or ``expired``: one of its windows was deleted.
        StorageError: the database fails, or has other vouchers than the export was made of.
    """
    async with store.reading() as db:
        if (export := await find_export(db, export_id)) is None:
            raise WindowError("unknown-export", f"there is no export {export_id}")
        if not await is_whole(db, export):
            raise WindowError("expired", f"a window of export {export_id} was deleted since; it can't be written again")
    async with aclosing(read_export(store, export, windows_at_once=settings.export_size)) as parts:
        async for part in parts:
            file.write(part)
    return export


async def _exported(store: Store, export: Export, at_once: int) -> AsyncGenerator[Listed, None]:
    columns = EXPORTED_WINDOWS.c
    order = (columns.account, columns.window_number)
    page = select(*order, columns.vouchers).where(columns.export_id == export.export_id).order_by(*order).limit(at_once)
    query = page
    while True:
        async with store.reading() as db:
            rows = (await db.execute(query)).all()
        for row in rows:
            yield Listed(*row)
        if len(rows) < at_once:
            return
        query = page.where(tuple_(*order) > tuple_(rows[-1].account, rows[-1].window_number))


async def _made_already(store: Store, wanted: Wanted) -> Export | None:
    async with store.reading() as db:
        found = await find_export(db, wanted.export_id)
    if found is not None and found.before != wanted.before:
        raise WindowError("id-taken", f"there is an export {wanted.export_id} of other windows; choose another id")
    return found


async def _disturbed(db: AsyncConnection, size: int) -> bool:
    """Whether anything happened since the log had a size that could make an export another one."""
    since = exists().where(LOG_ENTRIES.c.position >= size, LOG_ENTRIES.c.kind.in_(_DISTURBING))
    return bool((await db.execute(select(since))).scalar_one())


async def _survey(db: AsyncConnection, wanted: Wanted, kept_from: int, file: BinaryIO | None) -> _Survey:
    """Read all that an export would hold, at one state of the database."""
    size = (await db.execute(select(LOG_HEAD.c.size))).scalar_one()
    first = await first_uncounted(db)
    through = size if first is None else min(first, size)
    digest, listing = hashlib.sha256(), hashlib.sha256()
    windows = vouchers = 0
    if file is not None:
        file.seek(0)
        file.truncate()

    async def listed() -> AsyncGenerator[Listed, None]:
        nonlocal windows, vouchers
        async with db.stream(selected(wanted, kept_from, through)) as rows:
            async for row in rows:
                windows += 1
                vouchers += row.vouchers
                listing.update(listed_bytes(*row))
                yield Listed(*row)

    def add(part: bytes) -> None:
        digest.update(part)
        if file is not None:
            file.write(part)

    async with aclosing(encoded(lambda: nullcontext(db), listed(), through)) as parts:
        async for part in parts:
            add(part)
    add(LAST)
    if file is not None:
        file.flush()
    return _Survey(size, through, windows, vouchers, digest.digest(), listing.digest())


async def _make(change: Change, wanted: Wanted, kept_from: int, survey: _Survey) -> Export:
    export = Export(
        wanted.export_id,
        wanted.by,
        change.at,
        wanted.before,
        survey.windows,
        survey.vouchers,
        survey.through,
        survey.digest,
    )
    row = {
        "export_id": export.export_id,
        "operator_id": export.operator_id,
        "made_at": export.made_at,
        "before_window": export.before,
        "windows": export.windows,
        "vouchers": export.vouchers,
        "through": export.through,
        "digest": export.digest,
    }
    await change.db.execute(insert(EXPORTS).values(row))
    chosen = selected(wanted, kept_from, survey.through).order_by(None).subquery()
    rows = select(literal(export.export_id), chosen.c.account, chosen.c.window_number, chosen.c.vouchers)
    columns = ["export_id", "account", "window_number", "vouchers"]
    await change.db.execute(insert(EXPORTED_WINDOWS).from_select(columns, rows))
    mine = EXPORTED_WINDOWS.c.export_id == export.export_id
    totals = select(func.count(), func.coalesce(func.sum(EXPORTED_WINDOWS.c.vouchers), 0)).where(mine)
    if tuple((await change.db.execute(totals)).one()) != (export.windows, export.vouchers):
        raise StorageError("the vouchers changed while they were exported, and the log does not say why; try again")
    await change.db.execute(
        update(VOUCHERS)
        .where(
            VOUCHERS.c.state.in_(sources(Step.EXPORT)),
            VOUCHERS.c.position < export.through,
            of_exported(export.export_id),
        )
        .values(state=target(Step.EXPORT))
    )
    change.log(
        "export",
        export=export.export_id,
        by=export.operator_id,
        before=export.before,
        through=export.through,
        windows=export.windows,
        vouchers=export.vouchers,
        digest=export.digest,
        listed=survey.listed,
    )
    data = {"export": export.export_id, "windows": export.windows, "vouchers": export.vouchers}
    await tell(change, "export.made", data)
    return export
