"""What is backed up comes back whole, in either kind of database, or not at all."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import select

from scanner.errors import StorageError
from scanner.intake.operations.backup import backup, restore
from scanner.intake.store import schema
from scanner.intake.store.engine import sync_engine
from scanner.intake.store.receiving import receive
from scanner.intake.store.tables import METADATA
from tests import postgres
from tests.intake.conftest import open_writer
from tests.intake.store.test_receiving import enrol, received


def contents(url: str) -> dict[str, list[tuple]]:
    """Every row of every table."""
    with sync_engine(url) as engine, engine.connect() as db:
        return {
            table.name: [tuple(row) for row in db.execute(select(table).order_by(*table.primary_key.columns))]
            for table in METADATA.sorted_tables
        }


def fill(url: str, slots: range = range(700)) -> None:
    async def run() -> None:
        async with open_writer(url) as writer:
            await enrol(writer)
            await receive(writer, [received(slot=slot, content=b"%d" % slot) for slot in slots])

    asyncio.run(run())


@pytest.fixture(params=postgres.databases())
def other_url(request, tmp_path) -> str:
    """Another migrated database without contents, of each kind."""
    if request.param == "postgresql":
        template = request.getfixturevalue("postgresql_template")
        return request.getfixturevalue("postgresql").fresh_database(template)
    url = f"sqlite:///{tmp_path / 'other.db'}"
    schema.migrate(url)
    return url


def test_what_was_backed_up_is_restored(store_url, other_url, tmp_path):
    """Row for row, from each kind of database into each."""
    fill(store_url)
    rows = backup(store_url, tmp_path / "b")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    assert restore(other_url, tmp_path / "b") == rows > 1400
    assert contents(other_url) == contents(store_url)


def test_a_backup_under_load_is_of_one_moment(store_url, tmp_path):
    """Vouchers that are stored meanwhile are in it with their entries, or not at all."""
    fill(store_url, range(1))
    stop = threading.Event()

    def load() -> None:
        async def run() -> None:
            async with open_writer(store_url) as writer:
                slot = 1
                while not stop.is_set():
                    await receive(writer, [received(slot=slot, content=b"%d" % slot)])
                    slot += 1

        asyncio.run(run())

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for number in range(5):
            backup(store_url, tmp_path / f"{number}")
    finally:
        stop.set()
        thread.join(30)
    for number in range(5):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        schema.migrate(url)
        restore(url, tmp_path / f"{number}")
        made = contents(url)
        assert made["log_head"][0][1] == len(made["log_entries"]) == len(made["vouchers"])


def test_a_database_with_contents_is_not_written_over(store_url, tmp_path):
    """Nothing in it changes."""
    fill(store_url, range(3))
    backup(store_url, tmp_path / "b")
    before = contents(store_url)
    with pytest.raises(StorageError, match="has contents"):
        restore(store_url, tmp_path / "b")
    assert contents(store_url) == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "longer", "another file"])
def test_a_damaged_backup_restores_nothing(sqlite_url, tmp_path, damage):
    """Every damage is seen before the first row is written."""
    fill(sqlite_url, range(3))
    path = tmp_path / "b"
    backup(sqlite_url, path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut": whole[:-1],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "empty": b"",
            "longer": whole + b"\0",
            "another file": b"this is a text\n" * 100,
        }[damage]
    )
    url = f"sqlite:///{tmp_path / 'other.db'}"
    schema.migrate(url)
    before = contents(url)
    with pytest.raises(StorageError, match="no backup, or it is damaged"):
        restore(url, path)
    assert contents(url) == before


def test_a_backup_is_never_written_over(sqlite_url, tmp_path):
    """The file that is there stays."""
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(StorageError, match="exists already"):
        backup(sqlite_url, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"mine"


def test_what_is_missing_is_told(sqlite_url, tmp_path):
    """No database, no backup."""
    with pytest.raises(StorageError, match="there is no database"):
        backup(f"sqlite:///{tmp_path / 'absent.db'}", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    with pytest.raises(StorageError, match="can't read the backup"):
        restore(sqlite_url, tmp_path / "absent")
