"""A database's tables: made, checked, taken down and brought up again, on both databases."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from scanner.errors import StorageError
from scanner.intake.store import schema
from scanner.intake.store.engine import sync_engine
from scanner.intake.store.tables import METADATA


def tables(url: str) -> set[str]:
    with sync_engine(url) as engine, engine.connect() as db:
        return set(inspect(db).get_table_names())


def difference(url: str) -> list[object]:
    """What Alembic would have to do to make a database as tables.py says."""
    with sync_engine(url) as engine, engine.connect() as db:
        return compare_metadata(MigrationContext.configure(db, opts={"compare_type": True}), METADATA)


def execute(url: str, statement: str) -> None:
    with sync_engine(url) as engine, engine.begin() as db:
        db.execute(text(statement))


def test_an_empty_database_is_brought_up_down_and_up_again(empty_url):
    """Up makes exactly the tables that tables.py says, down leaves none of them."""
    assert schema.migrate(empty_url) == (None, schema.newest())
    assert difference(empty_url) == []
    assert schema.migrate(empty_url, "base") == (schema.newest(), None)
    assert tables(empty_url) == {"alembic_version"}
    assert schema.migrate(empty_url) == (None, schema.newest())
    assert difference(empty_url) == []
    schema.check(empty_url)


def test_indexes_are_those_of_the_tables(store_url):
    """Each index of tables.py is in the database, with its columns, and no other."""
    with sync_engine(store_url) as engine, engine.connect() as db:
        inspector = inspect(db)
        for table in METADATA.tables.values():
            made = {
                (each["name"], tuple(each["column_names"]), bool(each["unique"]))
                for each in inspector.get_indexes(table.name)
                if not each.get("duplicates_constraint")
            }
            assert made == {(each.name, tuple(each.columns.keys()), bool(each.unique)) for each in table.indexes}


def test_migrating_again_changes_nothing(store_url):
    """The version before is the version after."""
    assert schema.migrate(store_url) == (schema.newest(), schema.newest())


def test_four_processes_at_once_make_one_database(empty_url):
    """Who comes second finds it made."""
    script = "import sys; from scanner.intake.store import schema; print(schema.migrate(sys.argv[1])[1])"
    command = [sys.executable, "-c", script, empty_url]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [process.communicate(timeout=60) for process in running]
    assert [out.strip() for out, _ in told] == [schema.newest()] * 4, told
    assert difference(empty_url) == []


def test_a_database_without_tables_is_refused_with_the_command(empty_url):
    """The service says what to run; it makes nothing."""
    with pytest.raises(StorageError, match="scanner intake migrate"):
        schema.check(empty_url)
    if not empty_url.startswith("sqlite"):
        assert tables(empty_url) == set()


def test_another_version_is_refused(store_url):
    """An unknown version is of a newer release."""
    execute(store_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match=r"9999.*newer release"):
        schema.check(store_url)
    with pytest.raises(StorageError, match="can't migrate"):
        schema.migrate(store_url)


def test_a_version_nobody_knows_can_t_be_migrated_to(store_url):
    """One line says so, and the database stays."""
    with pytest.raises(StorageError, match="can't migrate"):
        schema.migrate(store_url, "12345")
    schema.check(store_url)


def test_a_database_of_before_the_migrations_is_refused(tmp_path):
    """It would be taken for an empty one otherwise."""
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE vouchers (voucher BLOB)")
    db.close()
    with pytest.raises(StorageError, match="start an empty one"):
        schema.migrate(f"sqlite:///{path}")
    assert tables(f"sqlite:///{path}") == {"vouchers"}


def test_a_migration_that_fails_leaves_the_database_as_it_was(empty_url, monkeypatch):
    """All of it is one transaction."""
    before = tables(empty_url)

    def fail(*_: object) -> None:
        raise StorageError("in the middle")

    with monkeypatch.context() as patched:
        patched.setattr("alembic.operations.Operations.bulk_insert", fail)
        with pytest.raises(StorageError, match="in the middle"):
            schema.migrate(empty_url)
    assert tables(empty_url) == before
    assert schema.migrate(empty_url) == (None, schema.newest())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not valid"),
        ("mysql://localhost/x", "mysql"),
        ("sqlite://", "is a file"),
        ("sqlite:///:memory:", "is a file"),
        ("postgresql://localhost:port/x", "not valid"),
    ],
)
def test_a_wrong_url_is_told(url, words):
    """In one line, by what is allowed."""
    for call in (schema.check, schema.migrate):
        with pytest.raises(StorageError, match=words):
            call(url)
