"""``scanner intake operator``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.intake_database import DEFAULT_DATABASE, Database
from scanner.cli.output import errors, fail, print_json

if TYPE_CHECKING:
    from scanner.intake.store.change import Writer

app = typer.Typer(help="Let people and programs use the intake, and end it.", no_args_is_help=True)


class ScopeName(StrEnum):
    """What an operator may do; the same as the intake's scopes, without loading the intake."""

    ENROL = "enrol"
    READ = "read"
    EXPORT = "export"
    REVIEW = "review"
    ADMIN = "admin"


Key = Annotated[
    Path,
    typer.Option(
        "--key",
        "-k",
        help="Private key that signs the audit log (keys new intake).",
        envvar="PRESCAN_INTAKE_SIGNING_KEY",
        show_default=False,
    ),
]
Origin = Annotated[
    str | None,
    typer.Option(
        help="How the intake is reached, such as https://intake.example; as it is served, for it names the audit log.",
        envvar="PRESCAN_INTAKE_ORIGIN",
        show_default=False,
    ),
]


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
        async with _changing(database, key, origin) as writer:
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
    """Show the operators, those revoked too.

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
            rows = await db.execute(select(*shown).order_by(OPERATORS.c.made_at, OPERATORS.c.operator_id))
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
        async with _changing(database, key, origin) as writer:
            async with writer.store.reading() as db:
                named = select(OPERATORS.c.operator_id).where(OPERATORS.c.name == operator)
                operator_id = (await db.execute(named)).scalar_one_or_none() or operator
            await revoke_operator(writer, operator_id, time.time())
            return operator_id

    errors.print(f"operator {asyncio.run(end())} is revoked", markup=False)


@asynccontextmanager
async def _changing(database: str, key: Path, origin: str | None) -> AsyncIterator[Writer]:
    """What changes the database, under the audit log's name and with its key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import select

    from scanner.errors import VoucherError
    from scanner.intake.app import log_name
    from scanner.intake.audit.checkpoints import Checkpoint
    from scanner.intake.audit.notes import Verifier
    from scanner.intake.store import schema
    from scanner.intake.store.change import Writer
    from scanner.intake.store.engine import open_store
    from scanner.intake.store.tables import LOG_HEAD
    from scanner.keys import read_private_key

    signing_key = read_private_key(key, Ed25519PrivateKey)
    schema.check(database)
    async with open_store(database) as store:
        async with store.reading() as db:
            note = (await db.execute(select(LOG_HEAD.c.note))).scalar_one()
        name = log_name(origin)
        if note:
            begun = note.partition("\n")[0]
            if origin is not None and begun != name:
                fail(f"the audit log is named {begun}, not {name}; give the origin that the intake is served with")
            name = begun
            try:
                Checkpoint.parse(note, Verifier(name, signing_key.public_key().public_bytes_raw()))
            except VoucherError:
                fail(f"the audit log is signed by another key than {key}; give the one that the intake is served with")
        yield Writer(store, name, signing_key)


def _need_intake() -> None:
    try:
        import scanner.intake.authority.operators  # noqa: F401 -- only whether it can be
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
