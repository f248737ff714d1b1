"""Whoever changes the database past the intake is found: any column of any row, rows added, rows taken away."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table

from scanner.intake.audit.comparing import UNNOTICED, UNPROTECTED
from scanner.intake.audit.findings import written
from scanner.intake.audit.verify import Verdict, verify
from scanner.intake.store.engine import open_store
from scanner.intake.store.lifecycle import VoucherState
from scanner.intake.store.tables import METADATA
from tests.intake.audit.realistic import BELOW, CLOSED, PARTLY, VERIFIER, device

COLUMNS = [f"{table.name}.{column.name}" for table in METADATA.sorted_tables for column in table.columns]
PROTECTED = [name for name in COLUMNS if name not in UNPROTECTED]
TABLES = [table.name for table in METADATA.sorted_tables]


def verdict_on(path: Path) -> Verdict:
    """Check a file."""

    async def run() -> Verdict:
        async with open_store(f"sqlite:///{path}") as store:
            return await verify(store, [VERIFIER])

    return asyncio.run(run())


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as whoever can write to it opens it: nothing is checked."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        yield db
        db.commit()


def keys_of(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


def in_writing(table: Table, row: Any) -> str:
    """A row's key as a finding names it."""
    return " ".join(written(row[name]) for name in keys_of(table))


def some_row(db: sqlite3.Connection, table: Table) -> sqlite3.Row:
    """The row in the middle."""
    rows = db.execute(f"SELECT rowid, * FROM {table.name} ORDER BY {', '.join(keys_of(table))}").fetchall()
    return rows[len(rows) // 2]


def other(value: Any, step: int = 1) -> Any:
    """Another value of the same kind, as like it as can be."""
    if value is None:
        return 1
    if isinstance(value, int):
        return value + step
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    return value[:-1] + ("e" if value[-1] != "e" else "d")


def tamper(db: sqlite3.Connection, name: str, value: Any = None) -> set[str]:
    """Change one value in the middle of a table; gives the row's keys before and after, as findings may name them."""
    table = METADATA.tables[name.partition(".")[0]]
    column = name.partition(".")[2]
    row = some_row(db, table)
    step = 1_000 if column in keys_of(table) else 1  # past the keys that others have
    changed = dict(row) | {column: other(row[column], step) if value is None else value}
    db.execute(f"UPDATE {table.name} SET {column} = ? WHERE rowid = ?", (changed[column], row["rowid"]))
    return {in_writing(table, row), in_writing(table, changed)}


@pytest.mark.parametrize("name", PROTECTED)
def test_a_changed_value_is_found(lived_sqlite, name):
    """Each column of each table, changed by as little as can be, in one row: the finding names table and row."""
    with opened(lived_sqlite) as db:
        keys = tamper(db, name)
    found = verdict_on(lived_sqlite).findings
    named = {one.key for one in found.first if one.table == name.partition(".")[0]}
    assert named & keys, list(map(str, found.first))


@pytest.mark.parametrize("name", sorted(UNPROTECTED))
def test_what_is_named_as_unprotected_is(lived_sqlite, name):
    """The list of what can't be found is true: none of it is found, so nothing stays on it that could go."""
    assert name in COLUMNS
    with opened(lived_sqlite) as db:
        tamper(db, name)
    assert verdict_on(lived_sqlite).findings.count == 0


@pytest.mark.parametrize("name", TABLES)
def test_a_row_taken_away_is_found(lived_sqlite, name):
    """One row of each table is deleted: the finding names table and row, but for the tables said to be unnoticed."""
    table = METADATA.tables[name]
    with opened(lived_sqlite) as db:
        row = some_row(db, table)
        db.execute(f"DELETE FROM {name} WHERE rowid = ?", (row["rowid"],))
    found = verdict_on(lived_sqlite).findings
    if name in UNNOTICED:
        assert found.count == 0
    else:
        assert any(one.table == name for one in found.first), list(map(str, found.first))


@pytest.mark.parametrize("name", [name for name in TABLES if name != "hook_messages"])
def test_a_row_put_in_is_found(lived_sqlite, name):
    """A copy of one row of each table under another key: the finding names table and row."""
    table = METADATA.tables[name]
    with opened(lived_sqlite) as db:
        row = dict(some_row(db, table))
        del row["rowid"]
        key = keys_of(table)[-1]
        highest = db.execute(f"SELECT MAX({key}) FROM {name}").fetchone()[0]
        row[key] = highest + 1 if isinstance(highest, int) else other(highest)
        if name == "operators":
            row["name"] = "someone"
        if name == "cases":
            row["window_number"] += 1
        db.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    found = verdict_on(lived_sqlite).findings
    assert any(one.table == name and one.key == in_writing(table, row) for one in found.first), list(
        map(str, found.first)
    )


@pytest.mark.parametrize("in_log", [False, True])
@pytest.mark.parametrize("value", ["\n\x00text" * 40, b"\xff" * 70, 0.5])
def test_a_value_of_another_type_is_found(lived_sqlite, value, in_log):
    """SQLite takes any value in any column: text, bytes or a fraction where it makes no sense is found, no crash."""
    log = ("log_head", "log_entries", "log_tiles", "checkpoints")
    names = [name for name in PROTECTED if (name.partition(".")[0] in log) is in_log]
    with opened(lived_sqlite) as db:
        for name in names:
            tamper(db, name, value)
    found = verdict_on(lived_sqlite).findings
    assert {one.table for one in found.first} >= {name.partition(".")[0] for name in names}
    assert all(str(one).isprintable() and len(str(one)) < 400 for one in found.first)


@pytest.mark.parametrize("state", VoucherState)
def test_no_voucher_is_in_another_state(lived_sqlite, state):
    """Of every other state one voucher is put into this one; each is found, and nothing else."""
    with opened(lived_sqlite) as db:
        rows = db.execute("SELECT *, MAX(position) FROM vouchers GROUP BY state").fetchall()
        assert {row["state"] for row in rows} == set(VoucherState)
        changed = [row for row in rows if row["state"] != state]
        for row in changed:
            db.execute("UPDATE vouchers SET state = ? WHERE position = ?", (state, row["position"]))
    found = verdict_on(lived_sqlite).findings
    table = METADATA.tables["vouchers"]
    named = {one.key for one in found.first if one.table in {"vouchers", "windows"}}
    uncounted = {VoucherState.RECEIVED, VoucherState.COUNTED}
    for row in changed:
        if {row["state"], state} <= uncounted:  # found by the number that was counted
            account = next(one for one in (BELOW, CLOSED, PARTLY) if device(one)[0] == row["device_id"])
            assert f"{account.hex()} {row['window_number']}" in named
        else:
            assert in_writing(table, row) in named
