"""``scanner intake audit``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.intake_database import DEFAULT_DATABASE, Database
from scanner.cli.output import errors, fail, print_json

if TYPE_CHECKING:
    from scanner.intake.audit.checkpoints import Checkpoint
    from scanner.intake.audit.notes import Verifier
    from scanner.intake.audit.verify import Verdict

EXIT_TAMPERED = 3

app = typer.Typer(help="Check the database against the audit log.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """Check the database against the audit log."""


@app.command("verify")
def verify(
    database: Database = DEFAULT_DATABASE,
    verifier_key: Annotated[
        list[str] | None,
        typer.Option(
            help="The log's key as GET /v1/log/key writes it, noted down earlier; again for an older one.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", "-k", help="Or the intake's public key, FILE.pub.", show_default=False),
    ] = None,
    since: Annotated[
        list[Path] | None,
        typer.Option(
            help="A checkpoint (GET /v1/log/checkpoint) kept elsewhere, which the log must have grown out of.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value, for programs.")] = False,
) -> None:
    """Prove that every row of the database is what the signed audit log says, and that the log only grew.

    Everything is worked out again from the log's entries: the tree, its checkpoints, and what the tables must hold. The
    intake may run meanwhile. Exit code 3 if anything differs; each difference is a line, the first hundred of them.
    A whole database put back to an earlier day is right in itself: only --since finds that.

    Example: scanner intake audit verify --key intake.key.pub --since checkpoint-of-may.txt
    """
    try:
        import scanner.intake.audit.verify  # noqa: F401 -- only whether it can be
        from scanner.intake.store import schema
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")
    if not verifier_key and key is None:
        fail("say whose signature to believe: give --verifier-key TEXT or --key FILE.pub")
    schema.check(database)
    verdict = asyncio.run(_verify(database, verifier_key or [], key, since or []))
    findings = verdict.findings
    if as_json:
        print_json(
            {
                "entries": verdict.entries,
                "root": verdict.root.hex(),
                "vouchers": verdict.vouchers,
                "checkpoints": verdict.checkpoints,
                "findings": findings.count,
                "first": [{"table": one.table, "key": one.key, "what": one.what} for one in findings.first],
            }
        )
    else:
        for finding in findings.first:
            typer.echo(str(finding))
    if findings.count:
        more = findings.count - len(findings.first)
        fail(f"{findings.count:,} findings{f', {more:,} not shown' if more else ''}: "
             "the database is not what the log says", EXIT_TAMPERED)  # fmt: skip
    errors.print(
        f"the database is what its audit log says: {verdict.entries:,} entries, {verdict.vouchers:,} vouchers, "
        f"{verdict.checkpoints:,} checkpoints kept here and {len(since or []):,} kept elsewhere",
        markup=False,
    )


async def _verify(database: str, texts: list[str], key: Path | None, since: list[Path]) -> Verdict:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from scanner.intake.audit.notes import Verifier
    from scanner.intake.audit.verify import verifier_of, verify
    from scanner.intake.store.engine import open_store
    from scanner.keys import read_public_key

    verifiers = [Verifier.parse(text) for text in texts]
    public_key = None if key is None else read_public_key(key, Ed25519PublicKey).public_bytes_raw()
    async with open_store(database) as store:
        if public_key is not None:
            verifiers.append(await verifier_of(store, public_key))
        return await verify(
            store, list(dict.fromkeys(verifiers)), {str(path): _read(path, verifiers) for path in since}
        )


def _read(path: Path, verifiers: list[Verifier]) -> Checkpoint:
    from scanner.errors import VoucherError
    from scanner.intake.audit.checkpoints import Checkpoint
    from scanner.intake.audit.notes import LARGEST_NOTE

    try:
        with path.open("rb") as file:
            note = file.read(LARGEST_NOTE + 1)
    except OSError as error:
        fail(f"can't read the checkpoint {path}: {error.strerror or error}")
    try:
        return Checkpoint.parse(note, *verifiers)
    except VoucherError as error:
        fail(f"{path} is not a checkpoint of this log: {error}")
