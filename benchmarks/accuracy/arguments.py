"""The arguments of ``python -m benchmarks.accuracy``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy.evaluation import Settings
from benchmarks.accuracy.packages import PRESETS as PACKAGES
from benchmarks.accuracy.presets import PRESETS as PUBLISHED
from benchmarks.accuracy.recipes import RECIPES
from scanner.errors import ArgumentError

PROGRAM = "python -m benchmarks.accuracy"
HASHES = "pdq,pdq-512,phash-256,dhash-256"
EXAMPLES = f"""examples:
  {PROGRAM} run --corpus small --out results
  {PROGRAM} corpus folder --root ~/pictures --out mine
  {PROGRAM} run --corpus mine --hashes pdq,phash-64,mymodule:myhash --out results
  {PROGRAM} gate baseline.json results
  {PROGRAM} certificate results --hashset known.prescan --out calibration.json
"""

Call = Callable[[argparse.Namespace], int]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are."""

    def error(self, message: str) -> Any:
        raise ArgumentError(f"{message}; see {self.prog} --help")


def make(calls: Mapping[str, Call]) -> argparse.ArgumentParser:
    """Make the parser.

    Args:
        calls: function of each command.

    Returns:
        a parser that raises ``ArgumentError`` for what it can't read.
    """
    parser = _Parser(
        prog=PROGRAM,
        description="How often is an innocent picture flagged, and how sure are we?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, told: str) -> Any:
        one = commands.add_parser(name, help=told, description=told[0].upper() + told[1:] + ".")
        one.set_defaults(call=calls[name])
        return one

    _corpus(command("corpus", "list the pictures of a corpus and take near copies out"))
    _run(command("run", "hash, count, evaluate, and write evaluation.json and report.html"))
    one = command("evaluate", "make figures and report anew from the raw results of a run")
    one.add_argument("folder", type=Path, help="of the run")
    _settings(one)
    one = command("compare", "say which rates of two evaluations differ beyond their intervals")
    one.add_argument("first", type=Path, help="evaluation.json, or the folder of a run")
    one.add_argument("second", type=Path, help="likewise")
    one.add_argument("--all", action="store_true", help="show the rates that did not move too")
    one = command("gate", "fail if a hash is worse than in a baseline beyond what chance allows")
    one.add_argument("baseline", type=Path, help="evaluation.json, or the folder of a run")
    one.add_argument("current", type=Path, help="likewise")
    one.add_argument("--alpha", type=float, default=0.05, help="how often a build without a regression may fail")
    one = command("certificate", "write the calibration certificate of a hash set, from the raw results of a run")
    one.add_argument("folder", type=Path, help="of the run")
    one.add_argument("--hashset", type=Path, required=True, help="the hash-set file")
    one.add_argument("--out", type=Path, required=True, help="file to write, JSON")
    one = command("published", "show published figures beside those of an evaluation")
    one.add_argument("preset", choices=PUBLISHED)
    one.add_argument("folder", type=Path, help="of the run, or its evaluation.json")
    _dry_run(command("dry-run", "tell what counting all pairs would cost, and do nothing"))
    return parser


def _corpus(one: Any) -> None:
    one.add_argument("kind", choices=[*PACKAGES, "folder", *RECIPES], help="Debian packages, a folder, or a data set")
    one.add_argument("--root", type=Path, help="folder of the pictures; of packages, where they are kept")
    one.add_argument("--out", type=Path, required=True, help="folder for the list")
    one.add_argument("--keep-copies", action="store_true", help="leave near copies in")


def _run(one: Any) -> None:
    one.add_argument("--corpus", default="small", help=f"{', '.join(PACKAGES)}, or the folder of one that was listed")
    one.add_argument("--root", type=Path, help="folder of the pictures, if it is not where it was")
    one.add_argument("--out", type=Path, required=True, help="folder for the results")
    one.add_argument("--hashes", default=HASHES, help=f"names, or all (default: {HASHES})")
    one.add_argument("--rungs", default="all", help="edits: all, some (one a family), none, or names (default: all)")
    one.add_argument("--pictures", type=int, help="so many at most, drawn by the seed (default: all)")
    one.add_argument("--sources", type=int, default=300, help="pictures that are edited (default: 300)")
    one.add_argument("--seed", type=int, default=0, help="what chance is drawn from (default: 0)")
    one.add_argument("--workers", type=int, help="processes (default: one a processor)")
    one.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler whose workers see the same files")
    _settings(one)


def _settings(one: Any) -> None:
    usual = Settings()
    account = usual.account
    one.add_argument("--target", type=float, default=usual.target, help="FPIR at which hashes are compared (0.01)")
    one.add_argument("--replicates", type=int, default=usual.replicates, help="draws of each bootstrap (1000)")
    one.add_argument("--bootstrap-seed", type=int, default=usual.seed, help="what the draws follow from (0)")
    one.add_argument("--account-pictures", type=int, default=account.pictures, help="of an account a window (1000)")
    one.add_argument("--wanted", type=float, default=account.wanted, help="chance per innocent account (1e-12)")
    one.add_argument("--shape", type=float, default=account.shape, help="how alike accounts are, gamma shape (10)")
    one.add_argument("--burst", type=int, default=account.burst, help="false matches that come together (10)")


def _dry_run(one: Any) -> None:
    one.add_argument("--pairs", type=float, default=1e15, help="within one collection (default: 1e15)")
    one.add_argument("--rows", type=int, help="hashes of the one side, instead of a number of pairs")
    one.add_argument("--columns", type=int, help="of the other; left out, the pairs within the one are counted")
    one.add_argument("--bits", type=int, default=256, help="length of a hash (default: 256)")
    one.add_argument("--workers", type=int, help="processes (default: one a processor)")
    one.add_argument("--near-rate", type=float, default=1e-6, help="share of pairs that are listed (default: 1e-6)")
