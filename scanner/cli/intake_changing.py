"""What a command needs that changes the intake's database: the key and the name that the audit log is signed with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.errors import ArgumentError

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
                raise ArgumentError(
                    f"the audit log is named {begun}, not {name}; give the origin that the intake is served with"
                )
            name = begun
            try:
                Checkpoint.parse(note, Verifier(name, signing_key.public_key().public_bytes_raw()))
            except VoucherError as error:
                raise ArgumentError(
                    f"the audit log is signed by another key than {key}; give the one that the intake is served with"
                ) from error
        yield Writer(store, name, signing_key)
