"""How the commands speak: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

EXIT_MATCH = 10
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

errors = Console(stderr=True, soft_wrap=True, highlight=False)


def fail(message: str, code: int = EXIT_ERROR) -> NoReturn:
    """Say in one line what was wrong, and exit."""
    print(f"scanner: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def print_json(value: Any) -> None:
    """Write one value as a line of JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


@contextmanager
def progress(what: str, total: int) -> Iterator[Progress]:
    """Show a bar on a terminal for work of more than a few steps; elsewhere show nothing.

    Call ``advance(TASK)`` after each step.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal or total < 10) as bar:
        bar.add_task(what, total=total)
        yield bar


TASK = TaskID(0)
"""Number of the one task of a progress bar; rich counts from 0."""
