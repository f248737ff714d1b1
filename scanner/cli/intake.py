"""``scanner intake``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.output import errors, fail

app = typer.Typer(help="Run the service that receives vouchers, and hand them to the opener.", no_args_is_help=True)


@app.command("serve")
def serve(
    key: Annotated[
        Path, typer.Option("--key", "-k", help="Private key that signs receipts (keys new intake).", show_default=False)
    ],
    database: Annotated[
        str, typer.Option("--database", "-d", help="sqlite:///FILE or postgresql://…", envvar="PRESCAN_DATABASE")
    ] = "sqlite:///intake.db",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8080,
    enrolment_token: Annotated[
        str | None,
        typer.Option(
            help="Token that devices need to enrol; without one, any may. Better given in the environment.",
            envvar="PRESCAN_ENROLMENT_TOKEN",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the intake until it is told to stop (Ctrl-C or SIGTERM).

    It takes vouchers, checks who signed them, stores them and gives signed receipts. It holds no key that opens them.
    Put a TLS-terminating proxy before it when it listens on more than this machine.

    Example: scanner keys new intake intake.key && scanner intake serve --key intake.key
    """
    try:
        from scanner.intake.server import run
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from scanner.keys import read_private_key

    run(
        database,
        read_private_key(key, Ed25519PrivateKey),
        host=host,
        port=port,
        enrolment_token=enrolment_token,
        announce=lambda url: errors.print(f"intake listening on {url}", markup=False),
    )


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="File to write.", show_default=False)],
    database: Annotated[
        str, typer.Option("--database", "-d", help="sqlite:///FILE or postgresql://…", envvar="PRESCAN_DATABASE")
    ] = "sqlite:///intake.db",
    before: Annotated[int | None, typer.Option(help="Only windows before this one.", min=0, show_default="all")] = None,
) -> None:
    """Write every account's vouchers into a file for the opener, which is offline.

    Example: scanner intake export vouchers.export --database sqlite:///intake.db
    """
    try:
        from scanner.intake.exporting import export_to
    except ModuleNotFoundError as error:
        fail(f"the intake needs {error.name}; install prescan[intake]")
    windows, vouchers = export_to(out, database, before)
    errors.print(f"{out}: {vouchers:,} vouchers in {windows:,} accounts' windows", markup=False)
