"""What a command needs that changes the intake's database: the key and the name that the audit log is signed with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scanner.intake.store.change import Writer

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


@asynccontextmanager
async def changing(database: str, key: Path, origin: str | None) -> AsyncIterator[Writer]:
    """What changes the database, under the audit log's name and with its key.

    Args:
        database: ``sqlite:///FILE`` or ``postgresql://…``.
        key: file of the key that the intake signs with.
        origin: how the intake is reached; not needed once anything was logged.

    Raises:
        StorageError: the database is not an intake's of this release.
        KeyFileError: the file is no such key.
        ArgumentError: the audit log is signed by another key, or has another name.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import select

    from scanner.intake.audit.identity import agreed_name
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
        yield Writer(store, agreed_name(note, origin, signing_key), signing_key)
