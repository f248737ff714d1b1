"""Connect to SQLite or PostgreSQL, with what durability needs, and say in one line what went wrong.

Rules: a write transaction takes its lock at its start (``BEGIN IMMEDIATE``, or the log head's row on PostgreSQL); no
message holds a value from the database.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from scanner.errors import StorageError

_ASYNC = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_SYNC = {"sqlite+aiosqlite": "sqlite", "postgresql+asyncpg": "postgresql+psycopg"}
_WRITES = "prescan_writes"
_BUSY_SECONDS = 30


class Store:
    """The intake's database. Open it with :func:`open_store`.

    Attributes:
        is_sqlite: whether it is a file here, or else PostgreSQL.
    """

    def __init__(self, engine: AsyncEngine, sync: Engine, thread: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._sync = sync
        self._thread = thread
        self._writing = engine.execution_options(**{_WRITES: True})
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._turn = asyncio.Lock()  # waiting here is fair and costs no connection; SQLite's own waiting is neither

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database and changes nothing.

        Raises:
            StorageError: the database fails.
        """
        async with self._connected(self._engine) as db:
            if not self.is_sqlite:
                await db.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield db

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end unless the block raises.

        Only :class:`scanner.intake.store.change.Writer` uses it: what is written is logged.

        Raises:
            StorageError: nothing was written.
        """
        async with self._turn, self._connected(self._writing) as db, db.begin():
            yield db

    async def write_in_thread(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """A transaction of many statements in one turn of the event loop; SQLite alone, for groups of vouchers.

        Args:
            work: done in a thread of its own; what it wrote is committed when it returns.

        Raises:
            StorageError: nothing was written.
        """

        def run() -> None:
            with reported(), self._sync.begin() as db:
                raw = db.connection.driver_connection
                assert isinstance(raw, sqlite3.Connection)
                try:
                    work(raw)
                except sqlite3.Error as error:
                    raise StorageError(f"the database failed: {error}") from error

        async with self._turn:
            await asyncio.get_running_loop().run_in_executor(self._thread, run)

    @asynccontextmanager
    async def driving(self) -> AsyncIterator[Any]:
        """An idle connection of asyncpg itself; PostgreSQL alone, for groups of vouchers.

        The block begins and commits by itself. When it raises the connection is closed, which rolls back.

        Raises:
            StorageError: the database fails.
        """
        async with self._turn, self._connected(self._engine) as db:
            raw = await db.get_raw_connection()
            try:
                yield raw.driver_connection
            except BaseException as error:
                with suppress(Exception):  # it may be broken already
                    await db.invalidate()
                if isinstance(error, OSError):
                    raise StorageError(f"the database failed: {_driver_said(error)}") from error
                raise

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        with reported():
            try:
                db = await engine.connect()
            except OSError as error:
                raise StorageError(f"the database can't be reached: {error.strerror or error}") from error
            try:
                yield db
            finally:
                await db.close()


@asynccontextmanager
async def open_store(url: str, *, connections: int = 5) -> AsyncIterator[Store]:
    """Open a database whose tables are there already.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://…``.
        connections: how many at most.

    Raises:
        StorageError: the URL is not valid, or a driver is missing.
    """
    with _usable():
        engine = create_async_engine(async_url(url), pool_size=connections, max_overflow=0, pool_timeout=_BUSY_SECONDS)
    if engine.dialect.name == "sqlite":
        _listen_sqlite(engine.sync_engine)
    with sync_engine(url) as sync, ThreadPoolExecutor(1, "groups") as thread:
        try:
            yield Store(engine, sync, thread)
        finally:
            await engine.dispose()


@contextmanager
def sync_engine(url: str) -> Iterator[Engine]:
    """The same database without an event loop, for migrations and checks before a service starts.

    Raises:
        StorageError: the URL is not valid, or a driver is missing.
    """
    parsed = async_url(url)
    with _usable():
        engine = create_engine(parsed.set(drivername=_SYNC[parsed.drivername]))
    if engine.dialect.name == "sqlite":
        _listen_sqlite(engine)
    try:
        yield engine.execution_options(**{_WRITES: True})
    finally:
        engine.dispose()


def async_url(url: str) -> URL:
    """A URL with the driver that the service uses.

    Raises:
        StorageError: it is none of SQLite or PostgreSQL.
    """
    with _usable():
        parsed = make_url(url)
    if parsed.drivername not in {*_ASYNC, *_ASYNC.values()}:
        raise StorageError(f"a database is sqlite:///FILE or postgresql://…, not {parsed.drivername}")
    if parsed.drivername.startswith("sqlite") and parsed.database in {None, "", ":memory:"}:
        raise StorageError("the intake's database is a file: give sqlite:///FILE")
    return parsed.set(drivername=_ASYNC.get(parsed.drivername, parsed.drivername))


@contextmanager
def reported() -> Iterator[None]:
    """Turn what a database raises into StorageError, without the values in it."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StorageError(f"the database failed: {_without_values(error)}") from error
    except Exception as error:
        # SQLAlchemy lets some of asyncpg's own pass, and what uvloop says of a connection that was lost a moment ago.
        lost = isinstance(error, RuntimeError) and "the handler is closed" in str(error)
        if not (lost or _is_asyncpgs(error)):
            raise
        raise StorageError(f"the database failed: {_driver_said(error)}") from error


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise StorageError("the database URL is not valid; use sqlite:///FILE or postgresql://…") from error
    except ModuleNotFoundError as error:
        raise StorageError(f"the database needs {error.name}; install prescan[postgresql]") from error


def _listen_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver would begin transactions by itself, and later
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {_BUSY_SECONDS * 1000}", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON",
            "secure_delete = ON", "journal_size_limit = 67108864",
        ):  # fmt: skip
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _(connection: Any) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _without_values(error: SQLAlchemyError) -> str:
    """What the database said, without the values: SQLAlchemy's message and PostgreSQL's detail hold them."""
    original = getattr(error, "orig", None)
    cause = getattr(original, "__cause__", None)  # asyncpg's own error stands behind SQLAlchemy's
    diagnosis = getattr(original, "diag", None)
    if (message := getattr(diagnosis, "message_primary", None)) is not None:
        return str(message)
    if cause is not None and _is_asyncpgs(cause):
        return _driver_said(cause)
    return str(original or type(error).__name__)


def _is_asyncpgs(error: BaseException) -> bool:
    return type(error).__module__.startswith("asyncpg.")


def _driver_said(error: BaseException) -> str:
    """What asyncpg said, without the detail."""
    return str(getattr(error, "message", None) or type(error).__name__)
