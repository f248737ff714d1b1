"""``scanner scan``."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from scanner.cli.output import EXIT_ERROR, EXIT_MATCH, TASK, fail, print_json, progress
from scanner.profiles import profile_named
from scanner.types import Outcome, Verdict


def scan_files(
    paths: Annotated[
        list[Path], typer.Argument(help="Pictures, videos or folders.", metavar="PATH...", show_default=False)
    ],
    hashset: Annotated[Path, typer.Option("--hashset", "-s", help="The list to check against.", show_default=False)],
    delta: Annotated[
        list[Path] | None, typer.Option(help="A delta on top of the list; oldest first, may be repeated.")
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="standard, report-only or strict.", metavar="NAME")
    ] = "standard",
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Decode in this process: quicker to start, and nothing is confined.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Check pictures, animations and videos against a hash set.

    They are decoded in another process that can do nothing else (scanner doctor says what holds it). Nothing is sent
    anywhere. Exit code 0: no match; 10: at least one match; 2: a picture could not be checked.

    Example: scanner scan --hashset known.prescan holiday.jpg
    """
    from scanner.hashset import find_files, open_layers
    from scanner.pipeline import Scanner

    chosen = profile_named(profile)
    files = [file for path in paths for file in (find_files(path) if path.is_dir() else [path])]
    if not files:
        fail("no files in the folder; give pictures, or a folder that holds some")
    outcomes = set()
    with (
        open_layers(hashset, delta or ()) as known,
        Scanner(known, chosen, isolation="in-process" if in_process else "isolated") as scanner,
        progress("scanning", len(files)) as bar,
    ):
        scanner.warm_up()
        for path in files:
            started = time.perf_counter()
            verdict = scanner.scan(path)
            milliseconds = 1000 * (time.perf_counter() - started)
            outcomes.add(verdict.outcome)
            if json:
                print_json(_fields(path, verdict, milliseconds))
            else:
                typer.echo(_line(path, verdict))
            bar.advance(TASK)
    if Outcome.MATCH in outcomes:
        raise typer.Exit(EXIT_MATCH)
    if outcomes & {Outcome.UNSCANNABLE, Outcome.ERROR, Outcome.TIMEOUT}:
        raise typer.Exit(EXIT_ERROR)


def _line(path: Path, verdict: Verdict) -> str:
    label = verdict.matches[0].label if verdict.matches else ""
    return f"{verdict.outcome:<12}{verdict.action:<5} {path}: {verdict.reason}{f' ({label})' if label else ''}"


def _fields(path: Path, verdict: Verdict, milliseconds: float) -> dict[str, Any]:
    return {
        "file": str(path),
        "outcome": verdict.outcome,
        "action": verdict.action,
        "reason": verdict.reason,
        "hash": verdict.hash.hex if verdict.hash else None,
        "quality": verdict.quality,
        "frames": verdict.frames,
        "matches": [asdict(match) for match in verdict.matches],
        "milliseconds": round(milliseconds, 3),
    }
