"""``scanner intake export`` and ``scanner intake import``: to the opener, and back."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.intake_changing import Key, Origin, changing
from scanner.cli.intake_database import DEFAULT_DATABASE, Database
from scanner.cli.output import errors, fail
from scanner.errors import ArgumentError
from scanner.files import new_file

if TYPE_CHECKING:
    from scanner.intake.settings import Settings


def export(
    out: Annotated[Path, typer.Argument(help="File to write; mode 600.", show_default=False)],
    key: Key,
    database: Database = DEFAULT_DATABASE,
    before: Annotated[int | None, typer.Option(help="Only windows before this one.", min=0, show_default="all")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also windows with nothing new since they were exported.")
    ] = False,
    again: Annotated[
        str | None, typer.Option(help="Id of an earlier export, whose file is written again.", show_default=False)
    ] = None,
    origin: Origin = None,
) -> None:
    """Write vouchers into a file for the opener, which is offline.

    Of each account's window that has new vouchers the file holds all of them, so that one file is enough to open it.

    Example: scanner intake export vouchers.export --key intake.key --database sqlite:///intake.db
    """
    try:
        from scanner.intake.windows.choosing import Wanted
        from scanner.intake.windows.exporting import Export, make_export, rewrite_export
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")
    if again is not None and (before is not None or everything):
        raise ArgumentError("--again writes an earlier export as it was; leave out --before and --all")
    settings = _settings(key, database)

    async def make() -> Export:
        async with changing(database, key, origin) as writer:
            with new_file(out, "exports") as file:
                if again is not None:
                    return await rewrite_export(writer.store, settings, again, file)
                wanted = Wanted(secrets.token_hex(16), before, everything)
                return (await make_export(writer, settings, time.time(), wanted, file=file))[0]

    made = asyncio.run(make())
    told = f"{made.vouchers:,} vouchers in {made.windows:,} accounts' windows; export {made.export_id}"
    errors.print(f"{out}: {told}", markup=False)


def import_(
    cases: Annotated[Path, typer.Argument(help="The cases that scanner opener open wrote.", show_default=False)],
    key: Key,
    accounts: Annotated[
        Path | None,
        typer.Option(
            help="What it printed with --accounts; then windows that did not open are recorded too.",
            show_default=False,
        ),
    ] = None,
    database: Database = DEFAULT_DATABASE,
    origin: Origin = None,
) -> None:
    """Bring back what the opener found: for each account's window that opened there is a case to review.

    The same files again change nothing.

    Example: scanner intake import cases.jsonl --accounts accounts.jsonl --key intake.key
    """
    try:
        from scanner.intake.windows.importing import import_files
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")

    async def bring() -> tuple[int, int]:
        async with changing(database, key, origin) as writer:
            return await import_files(writer, time.time(), cases, accounts)

    new, known = asyncio.run(bring())
    errors.print(f"{new:,} accounts' windows imported; {known:,} had been before", markup=False)


def _settings(key: Path, database: str) -> Settings:
    """The intake's, from the environment that it runs in."""
    from scanner.intake.settings import from_environment

    given = {"PRESCAN_INTAKE_SIGNING_KEY": str(key), "PRESCAN_INTAKE_DATABASE": database}
    return from_environment(os.environ | given).settings
