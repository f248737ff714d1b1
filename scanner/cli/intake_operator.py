"""``scanner intake operator``."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from scanner.cli.intake_changing import Key, Origin, changing
from scanner.cli.intake_database import DEFAULT_DATABASE, Database
from scanner.cli.output import errors, fail, print_json

app = typer.Typer(help="Let people and programs use the intake, and end it.", no_args_is_help=True)


class ScopeName(StrEnum):
    """What an operator may do; the same as the intake's scopes, without loading the intake."""

    ENROL = "enrol"
    READ = "read"
    EXPORT = "export"
    REVIEW = "review"
    ADMIN = "admin"


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Nobody else's; a role, such as reviewer-1.", show_default=False)],
    scope: Annotated[
        list[ScopeName], typer.Option("--scope", "-s", help="What it may do; again for more.", show_default=False)
    ],
    key: Key,
    database: Database = DEFAULT_DATABASE,
    origin: Origin = None,
) -> None:
    """Make an operator and write its token to standard output, this once.

    Example: scanner intake operator new first --scope admin --key intake.key
    """
    _need_intake()
    from scanner.intake.authority.operators import Scope, add_operator

    async def make() -> tuple[str, str]:
        async with changing(database, key, origin) as writer:
            operator, token = await add_operator(writer, name, [Scope(each) for each in scope], time.time())
            return operator.operator_id, token

    operator_id, token = asyncio.run(make())
    typer.echo(token)
    errors.print(f"operator {operator_id} ({name}) is made; nobody can find the token out again", markup=False)


@app.command("list")
def list_operators(
    database: Database = DEFAULT_DATABASE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value a line, for programs.")] = False,
) -> None:
    """Show the operators by name, those revoked too.

    Example: scanner intake operator list
    """
    _need_intake()
    from sqlalchemy import select

    from scanner.intake.store import schema
    from scanner.intake.store.engine import open_store
    from scanner.intake.store.tables import OPERATORS

    schema.check(database)

    async def read() -> list[dict[str, Any]]:
        shown = [column for column in OPERATORS.c if column is not OPERATORS.c.secret_hash]
        async with open_store(database) as store, store.reading() as db:
            rows = await db.execute(select(*shown).order_by(OPERATORS.c.name))
            return [dict(row) for row in rows.mappings()]

    for operator in asyncio.run(read()):
        if as_json:
            print_json(operator | {"scopes": operator["scopes"].split()})
        else:
            ended = "" if operator["revoked_at"] is None else f", revoked {_day(operator['revoked_at'])}"
            when = f"made {_day(operator['made_at'])}{ended}"
            typer.echo(f"{operator['operator_id']}  {operator['name']}  {operator['scopes']}  {when}")


@app.command("revoke")
def revoke(
    operator: Annotated[str, typer.Argument(help="Its id or its name.", show_default=False)],
    key: Key,
    database: Database = DEFAULT_DATABASE,
    origin: Origin = None,
) -> None:
    """Refuse an operator's token and sessions from now on; a running intake does so at once.

    Example: scanner intake operator revoke reviewer-1 --key intake.key
    """
    _need_intake()
    from sqlalchemy import select

    from scanner.intake.authority.operators import revoke_operator
    from scanner.intake.store.tables import OPERATORS

    async def end() -> str:
        async with changing(database, key, origin) as writer:
            async with writer.store.reading() as db:
                named = select(OPERATORS.c.operator_id).where(OPERATORS.c.name == operator)
                operator_id = (await db.execute(named)).scalar_one_or_none() or operator
            await revoke_operator(writer, operator_id, time.time())
            return operator_id

    errors.print(f"operator {asyncio.run(end())} is revoked", markup=False)


def _need_intake() -> None:
    try:
        import scanner.intake.authority.operators  # noqa: F401 -- only whether it can be
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
