"""The version of a database's tables: made by ``scanner intake migrate``, checked before the service starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text

from scanner.errors import StorageError
from scanner.intake.store.engine import async_url, reported, sync_engine

_LOCK = 0x7072657363616E  # "prescan": no two migrations at a time on PostgreSQL
HOW_TO_MIGRATE = "run: scanner intake migrate --database URL"


def newest() -> str:
    """The version that this release works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def check(url: str) -> None:
    """Raise unless a database is there and of the version of this release.

    Raises:
        StorageError: it isn't, and what to do; or it can't be reached.
    """
    parsed = async_url(url)
    if parsed.drivername.startswith("sqlite") and not Path(parsed.database or "").is_file():
        raise StorageError(f"there is no database {parsed.database}; {HOW_TO_MIGRATE}")
    with _connected(url) as db:
        found = version(db)
    if found is None:
        raise StorageError(f"no intake has used this database; {HOW_TO_MIGRATE}")
    if found != newest():
        known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
        what = HOW_TO_MIGRATE if found in known else "it is of a newer release: upgrade this one"
        raise StorageError(f"the database's tables are of version {found}, this release needs {newest()}; {what}")


def migrate(url: str, to: str = "head") -> tuple[str | None, str | None]:
    """Bring a database's tables to a version, making the database's tables if there are none.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://…``.
        to: ``head``, ``base`` or a version; a lower one loses what it can't hold.

    Returns:
        the version before and after; None is without tables.

    Raises:
        StorageError: it can't be done; the database stays as it was.
    """
    with _connected(url) as db:
        if db.dialect.name == "postgresql":
            db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        before = version(db)
        tables = set(inspect(db).get_table_names())
        if before is None and "vouchers" in tables:
            raise StorageError("the database is of a release before 0.2 and can't be brought over; start an empty one")
        config = _config()
        config.attributes["connection"] = db
        downward = to == "base" or (before is not None and to not in {"head", before} and to < before)
        try:
            (command.downgrade if downward else command.upgrade)(config, to)
        except CommandError as error:
            raise StorageError(f"can't migrate: {error}") from error
        after = version(db)
        db.commit()
    return before, after


def version(db: Connection) -> str | None:
    """The version of a database's tables, or None if there are none of ours."""
    return MigrationContext.configure(db).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "scanner.intake.store:migrations")
    return config


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    with sync_engine(url) as engine, reported(), engine.connect() as db:
        yield db
