"""``scanner demo``."""

from __future__ import annotations

import typer

from scanner.cli.output import EXIT_ERROR, fail


def run_demo() -> None:
    """See the whole way once: pictures checked, vouchers sealed, sent to a real intake, and opened.

    Everything happens on this machine, in a folder that is removed at the end.
    """
    try:
        from scanner.demo.story import tell
    except ModuleNotFoundError as error:
        fail(f"the demo needs {error.name}; install prescan[demo]")
    if not tell():
        raise typer.Exit(EXIT_ERROR)
