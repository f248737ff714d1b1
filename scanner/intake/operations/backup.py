"""Write the whole database into one file while the service runs, and make a database out of it again.

The file is a CBOR sequence: ``{"format": "prescan backup", "version": 1, "tables": schema version}``, then
``[table, [row, …]]`` pieces in an order in which every row's foreign keys are there before it, then ``"end"``, then the
SHA-256 of all before it, 32 bytes. It says nothing of the kind of database: a backup of SQLite restores into PostgreSQL
and the other way round.

Rules: a backup is of one moment; a restore writes all or nothing, only into a database without contents.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import cbor2
from sqlalchemy import Connection, delete, func, insert, select

from scanner.errors import StorageError
from scanner.files import new_file
from scanner.intake.store import schema
from scanner.intake.store.engine import reported, sync_engine
from scanner.intake.store.tables import LOG_HEAD, METADATA

FORMAT = "prescan backup"
VERSION = 1
END = "end"
_PIECE = 500  # rows
_DIGEST = 32


def backup(url: str, path: Path) -> int:
    """Write a database into a new file of mode 600.

    Args:
        url: the database; it may be in use.
        path: the file, which must not be there yet.

    Returns:
        rows written.

    Raises:
        StorageError: the database or the file fails; then there is no file.
    """
    schema.check(url)
    rows = 0
    with new_file(path, "backups") as file, sync_engine(url) as engine, reported():
        out = _Hashed(file)
        snapshot = engine.execution_options(prescan_writes=False, isolation_level=_isolation(engine.dialect.name))
        with snapshot.connect() as db:
            out.write({"format": FORMAT, "version": VERSION, "tables": schema.version(db)})
            for table in METADATA.sorted_tables:
                streamed = db.execution_options(yield_per=_PIECE).execute(select(table))
                for piece in streamed.partitions():
                    out.write([table.name, [list(row) for row in piece]])
                    rows += len(piece)
        out.write(END)
        file.write(out.digest)
    return rows


def restore(url: str, path: Path) -> int:
    """Fill a database without contents from a backup.

    Args:
        url: the database, migrated to the version of the backup.
        path: the backup.

    Returns:
        rows written.

    Raises:
        StorageError: the file is no backup, is damaged or of another version; the database is not empty, or fails.
    """
    schema.check(url)
    _check_digest(path)
    with sync_engine(url) as engine, reported(), engine.begin() as db:
        _check_empty(db)
        db.execute(delete(LOG_HEAD))
        rows = 0
        for table, piece in _pieces(path, schema.version(db)):
            names = METADATA.tables[table].columns.keys()
            db.execute(insert(METADATA.tables[table]), [dict(zip(names, row, strict=True)) for row in piece])
            rows += len(piece)
    return rows


class _Hashed:
    """Items on their way into a file, and the digest of what went."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()

    def write(self, item: Any) -> None:
        encoded = cbor2.dumps(item)
        self._sha256.update(encoded)
        self._file.write(encoded)

    @property
    def digest(self) -> bytes:
        return self._sha256.digest()


def _isolation(dialect: str) -> str:
    return "SERIALIZABLE" if dialect == "sqlite" else "REPEATABLE READ"


def _check_digest(path: Path) -> None:
    try:
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - _DIGEST
            sha256 = hashlib.sha256()
            while left > 0 and (piece := file.read(min(left, 1 << 20))):
                sha256.update(piece)
                left -= len(piece)
            if file.read() != sha256.digest():
                raise StorageError(f"{path} is no backup, or it is damaged or cut; nothing was restored")
    except OSError as error:
        raise StorageError(f"can't read the backup {path}: {error.strerror or error}") from error


def _check_empty(db: Connection) -> None:
    for table in METADATA.sorted_tables:
        expected = 1 if table is LOG_HEAD else 0
        if db.scalar(select(func.count()).select_from(table)) != expected:
            raise StorageError("the database has contents; restore into one that was just migrated")
    if db.scalar(select(LOG_HEAD.c.size)) != 0:
        raise StorageError("the database has contents; restore into one that was just migrated")


def _pieces(path: Path, tables: str | None) -> Iterator[tuple[str, list[list[Any]]]]:
    """The pieces of a file whose digest is right."""
    with path.open("rb") as file:
        decoder = cbor2.CBORDecoder(file)
        header = decoder.decode()
        if not isinstance(header, dict) or header.get("format") != FORMAT or header.get("version") != VERSION:
            raise StorageError(f"{path} is no backup of this version of the format")
        if header.get("tables") != tables:
            raise StorageError(
                f"the backup's tables are of version {header.get('tables')}, the database's of {tables}; "
                f"run: scanner intake migrate --to {header.get('tables')}"
            )
        while (item := decoder.decode()) != END:
            name, rows = item
            yield name, rows
