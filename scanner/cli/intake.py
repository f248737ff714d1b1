"""``scanner intake``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from scanner.cli import intake_audit, intake_backup, intake_operator, intake_windows
from scanner.cli.intake_database import DEFAULT_DATABASE, Database
from scanner.cli.output import errors, fail

app = typer.Typer(help="Run the service that receives vouchers, and hand them to the opener.", no_args_is_help=True)
app.command("export")(intake_windows.export)
app.command("import")(intake_windows.import_)
app.command("backup")(intake_backup.backup)
app.command("restore")(intake_backup.restore)
app.add_typer(intake_operator.app, name="operator")
app.add_typer(intake_audit.app, name="audit")

_ENVIRONMENT = "PRESCAN_INTAKE_"


@app.command("serve")
def serve(
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            "-k",
            help="Private key that signs receipts (keys new intake).",
            envvar=f"{_ENVIRONMENT}SIGNING_KEY",
            show_default=False,
        ),
    ] = None,
    database: Database = DEFAULT_DATABASE,
    host: Annotated[str, typer.Option(help="Address to listen on.", envvar=f"{_ENVIRONMENT}HOST")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535, envvar=f"{_ENVIRONMENT}PORT")
    ] = 8080,
    workers: Annotated[
        int, typer.Option(help="Processes on the one database.", min=1, max=64, envvar=f"{_ENVIRONMENT}WORKERS")
    ] = 1,
) -> None:
    """Run the intake until it is told to stop (Ctrl-C or SIGTERM).

    It takes vouchers, checks who signed them, stores them and gives signed receipts. It holds no key that opens them.
    Devices enrol with one-time tokens that the messenger's provider registers. All other settings are in variables of
    the environment: scanner intake check-config shows them.

    Example: scanner intake migrate && scanner intake serve --key intake.key
    """
    try:
        from scanner.intake.server import run
        from scanner.intake.settings import from_environment
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")
    if key is None:
        fail("the intake needs a key to sign with: give --key FILE; make one with: scanner keys new intake intake.key")
    given = {"SIGNING_KEY": key, "DATABASE": database, "HOST": host, "PORT": port, "WORKERS": workers}
    deployment = from_environment(os.environ | {f"{_ENVIRONMENT}{name}": str(value) for name, value in given.items()})
    run(deployment, lambda url: errors.print(f"intake listening on {url}", markup=False))


@app.command("check-config")
def check_config() -> None:
    """Show every setting, its value and where it comes from, and check all that can be checked without serving.

    Example: PRESCAN_INTAKE_WORKERS=4 scanner intake check-config
    """
    try:
        from scanner.intake.operations.checking import check
        from scanner.intake.settings import describe, from_environment
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")
    deployment = from_environment(os.environ)
    lines = describe(deployment)
    width = max(len(name) for name, _, _ in lines)
    for name, value, source in lines:
        typer.echo(f"{name:<{width}}  {value or '-'}  ({source})")
    for warning in check(deployment):
        errors.print(f"warning: {warning}", markup=False)
    errors.print("the settings are good", markup=False)


@app.command("migrate")
def migrate(
    database: Database = DEFAULT_DATABASE,
    to: Annotated[str, typer.Option(help="Version; head is this release's, base removes all tables.")] = "head",
) -> None:
    """Make the database's tables, or bring them to this release's version. Back up first (scanner intake backup).

    Example: scanner intake migrate --database sqlite:///intake.db
    """
    try:
        from scanner.intake.store.schema import migrate as bring
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")
    before, after = bring(database, to)
    if before == after:
        errors.print(f"the database's tables are of version {after or 'none'} already", markup=False)
    else:
        errors.print(f"the database's tables: version {before or 'none'} to {after or 'none'}", markup=False)


@app.command("health")
def health(
    url: Annotated[str, typer.Argument(help="Where the intake is.")] = "http://127.0.0.1:8080",
) -> None:
    """Say whether an intake is ready; exit code 2 if not. For container health checks.

    Example: scanner intake health http://127.0.0.1:8080
    """
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/')}/readyz", timeout=5, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        fail(f"the intake at {url} can't be reached ({type(error).__name__})")
    if answer.status_code != httpx.codes.OK:
        fail(f"the intake at {url} is not ready: it answers {answer.status_code}")
    typer.echo("ready")
