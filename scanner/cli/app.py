"""Put the commands together, and turn every error into one line and an exit code.

Exit codes: 0 done (``scan``: no match), 10 ``scan`` found a match, 2 error or wrong use, 130 interrupted
(Ctrl-C), 1 whoever read the output stopped reading, 3 ``intake audit verify`` found that the database is not what its
log says.
"""

from __future__ import annotations

from typing import Annotated

import typer

import scanner
from scanner.cli import (
    demo,
    doctor,
    hashing,
    hashset,
    hashset_calibration,
    intake,
    keys,
    ledger,
    opener,
    policy,
    policy_files,
    scan,
)
from scanner.cli.output import EXIT_INTERRUPTED, fail
from scanner.errors import ScannerError

app = typer.Typer(
    name="scanner",
    help="Check pictures against a list of known hashes, on the device, before they are encrypted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("hash")(hashing.hash_files)
app.command("scan")(scan.scan_files)
app.command("demo")(demo.run_demo)
app.command("doctor")(doctor.run_doctor)
hashset.app.command("attach-calibration")(hashset_calibration.attach)
app.add_typer(hashset.app, name="hashset")
app.add_typer(keys.app, name="keys")
app.add_typer(intake.app, name="intake")
policy.app.command("new")(policy_files.new)
policy.app.command("show")(policy_files.show)
app.add_typer(policy.app, name="policy")
app.add_typer(opener.app, name="opener")
app.add_typer(ledger.app, name="ledger")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"prescan {scanner.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Check pictures against a list of known hashes, on the device, before they are encrypted.

    A first walk: scanner demo. Then build a list (scanner hashset build) and check pictures against it (scanner scan).
    """


def main() -> None:
    """Run the command with the process's arguments and exit."""
    try:
        app()
    except ScannerError as error:
        fail(str(error))
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:  # typer ends so on Ctrl-C, without a word
            fail("interrupted; nothing half-done was left behind", EXIT_INTERRUPTED)
        raise
