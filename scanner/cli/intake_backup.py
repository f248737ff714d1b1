"""``scanner intake backup`` and ``scanner intake restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.intake_database import DEFAULT_DATABASE, Database
from scanner.cli.output import errors, fail


def backup(
    out: Annotated[Path, typer.Argument(help="File to write; mode 600.", show_default=False)],
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Write the whole database into a file, as it is at one moment; the service may run meanwhile.

    Example: scanner intake backup intake.backup --database sqlite:///intake.db
    """
    try:
        from scanner.intake.operations.backup import backup as write
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")
    errors.print(f"{out}: {write(database, out):,} rows", markup=False)


def restore(
    backup: Annotated[Path, typer.Argument(help="What scanner intake backup wrote.", show_default=False)],
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Fill a database that was just migrated from a backup, of SQLite or PostgreSQL alike. Then verify the audit log.

    Example: scanner intake migrate && scanner intake restore intake.backup
    """
    try:
        from scanner.intake.operations.backup import restore as read
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")
    errors.print(f"{read(database, backup):,} rows restored", markup=False)
