"""What the intake keeps: enrolled devices and sealed vouchers, in SQLite or PostgreSQL.

Rules: a voucher's place (device, window, slot) is taken once and for ever; the receipt stored first is the receipt
given every time; a call that returns has been committed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from scanner.errors import StorageError
from scanner.exports import ExportedWindow

_metadata = MetaData()

DEVICES = Table(
    "devices",
    _metadata,
    Column("device_id", LargeBinary(16), primary_key=True),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("account", LargeBinary(16), nullable=False, index=True),
    Column("enrolled_day", BigInteger, nullable=False),
)

VOUCHERS = Table(
    "vouchers",
    _metadata,
    Column("device_id", ForeignKey("devices.device_id"), primary_key=True),
    Column("window_number", BigInteger, primary_key=True, autoincrement=False),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("voucher", LargeBinary, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredVoucher:
    """A voucher and the receipt given for it."""

    device_id: bytes
    window: int
    slot: int
    digest: bytes
    voucher: bytes
    receipt: bytes


class Store:
    """The intake's database. Open it with :func:`open_store`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    async def enrol(self, device_id: bytes, public_key: bytes, account: bytes, day: int) -> tuple[bytes, bool]:
        """Keep a device's key and account.

        Returns:
            the account the device is enrolled for, and whether it is new.

        Raises:
            StorageError: nothing was stored.
        """
        values = {"device_id": device_id, "public_key": public_key, "account": account, "enrolled_day": day}
        if await self._insert_once(DEVICES, values):
            return account, True
        async with self._connected() as db:
            stored = await db.scalar(select(DEVICES.c.account).where(DEVICES.c.device_id == device_id))
        assert isinstance(stored, bytes)
        return stored, False

    async def public_key(self, device_id: bytes) -> bytes | None:
        """The key of an enrolled device, or None."""
        async with self._connected() as db:
            key: bytes | None = await db.scalar(select(DEVICES.c.public_key).where(DEVICES.c.device_id == device_id))
        return key

    async def put(self, new: StoredVoucher) -> tuple[StoredVoucher, bool]:
        """Store a voucher unless its place is taken.

        Returns:
            what now stands in the place, and whether it is new. If it is not, compare the digests.

        Raises:
            StorageError: nothing was stored.
        """
        values = {
            "device_id": new.device_id, "window_number": new.window, "slot": new.slot,
            "digest": new.digest, "voucher": new.voucher, "receipt": new.receipt,
        }  # fmt: skip
        if await self._insert_once(VOUCHERS, values):
            return new, True
        place = [VOUCHERS.c[name] == values[name] for name in ("device_id", "window_number", "slot")]
        async with self._connected() as db:
            row = (await db.execute(select(VOUCHERS).where(*place))).one()
        return _voucher(row), False

    async def vouchers(self) -> list[StoredVoucher]:
        """Every voucher, by device, window and slot."""
        order = (VOUCHERS.c.device_id, VOUCHERS.c.window_number, VOUCHERS.c.slot)
        async with self._connected() as db:
            rows = await db.execute(select(VOUCHERS).order_by(*order))
            return [_voucher(row) for row in rows]

    async def windows(self, before: int | None = None) -> AsyncGenerator[ExportedWindow, None]:
        """Every account's vouchers of each window, before a window if one is given, in order of account and window."""
        query = (
            select(DEVICES.c.account, DEVICES.c.public_key, VOUCHERS)
            .join(DEVICES, DEVICES.c.device_id == VOUCHERS.c.device_id)
            .order_by(DEVICES.c.account, VOUCHERS.c.window_number, VOUCHERS.c.device_id, VOUCHERS.c.slot)
        )
        if before is not None:
            query = query.where(VOUCHERS.c.window_number < before)
        current: ExportedWindow | None = None
        async with self._connected() as db:
            rows = await db.stream(query)
            try:
                async for row in rows:
                    if current is None or (current.account, current.window) != (row.account, row.window_number):
                        if current is not None:
                            yield current
                        current = ExportedWindow(row.account, row.window_number, {}, [])
                    current.devices[row.device_id] = row.public_key
                    current.vouchers.append(row.voucher)
            finally:
                await rows.close()  # whoever reads may stop midway
        if current is not None:
            yield current

    async def check(self) -> None:
        """Raise StorageError unless the database answers."""
        async with self._connected() as db:
            await db.scalar(select(func.count()).select_from(DEVICES))

    async def _insert_once(self, table: Table, values: dict[str, Any]) -> bool:
        async with self._connected() as db:
            insert = self._insert(table).values(values).on_conflict_do_nothing()
            inserted = await db.execute(insert.returning(*table.primary_key.columns))  # rowcount is -1 on PostgreSQL
            return inserted.first() is not None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed on the way out."""
        with _reported():
            async with self._engine.begin() as db:
                yield db


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Open a database, making its tables if they are missing.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://…``.

    Raises:
        StorageError: it can't be opened.
    """
    with _reported():
        engine = create_async_engine(_with_driver(url))
    try:
        if engine.dialect.name == "sqlite":
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        with _reported():
            async with engine.begin() as db:
                await db.run_sync(_metadata.create_all)
        yield Store(engine)
    finally:
        await engine.dispose()


def check_database(url: str, *, existing: bool = False) -> None:
    """Connect once, without an event loop, so that what is wrong is told before a service starts.

    Args:
        url: as for :func:`open_store`.
        existing: an intake must have used it already; none is made.

    Raises:
        StorageError: it can't be opened, or no intake has used it.
    """
    with _reported():
        parsed = make_url(_with_driver(url))
        if existing and parsed.drivername.startswith("sqlite") and not Path(parsed.database or "").is_file():
            raise StorageError(f"there is no database {parsed.database}; give the one that the intake serves")
        engine = create_engine(_with_driver(url).replace("+aiosqlite", ""))
        try:
            with engine.connect() as connection:
                used = inspect(connection).has_table(DEVICES.name)  # reads the file: connecting alone does not
        finally:
            engine.dispose()
    if existing and not used:
        raise StorageError("no intake has used this database; give the one that the intake serves")


def _with_driver(url: str) -> str:
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    parsed = make_url(url)
    if parsed.drivername not in {*drivers, *drivers.values()}:
        raise StorageError(f"a database is sqlite:///FILE or postgresql://…, not {parsed.drivername}")
    return parsed.set(drivername=drivers.get(parsed.drivername, parsed.drivername)).render_as_string(
        hide_password=False
    )


def _prepare_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise StorageError("the database URL is not valid; use sqlite:///FILE or postgresql://…") from error
    except ModuleNotFoundError as error:
        raise StorageError(f"the database needs {error.name}; install prescan[postgresql]") from error
    except SQLAlchemyError as error:
        raise StorageError(f"the database failed: {_without_values(error)}") from error


def _without_values(error: SQLAlchemyError) -> str:
    """What the database said, without the values: SQLAlchemy's message and PostgreSQL's detail hold them."""
    original = getattr(error, "orig", None)
    diagnosis = getattr(original, "diag", None)
    return str(getattr(diagnosis, "message_primary", None) or original or type(error).__name__)


def _voucher(row: Any) -> StoredVoucher:
    return StoredVoucher(row.device_id, row.window_number, row.slot, row.digest, row.voucher, row.receipt)
