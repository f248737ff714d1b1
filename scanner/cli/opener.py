"""``scanner opener``."""

from __future__ import annotations

import json as json_module
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from scanner.cli.output import TASK, errors, print_json, progress
from scanner.errors import ArgumentError, StorageError

app = typer.Typer(help="Open vouchers offline, where an account has enough of them.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the command's name while it is the only one."""


@app.command("open")
def open_file(
    export: Annotated[Path, typer.Argument(help="What scanner intake export wrote.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Cases to write, one JSON object a line; mode 600.", show_default=False)],
    key: Annotated[Path, typer.Option("--key", "-k", help="The opener's private key.", show_default=False)],
    policy: Annotated[
        list[Path],
        typer.Option("--policy", "-p", help="A policy that vouchers name; may be repeated.", show_default=False),
    ],
    accounts: Annotated[
        bool, typer.Option("--accounts", help="Print what came of each account's window, one JSON object a line.")
    ] = False,
) -> None:
    """Open what can be opened: accounts that reached the threshold of their policy in a window.

    Of all others nothing is told but how many there are, or with --accounts that they are below it. Cases hold what the
    list says and no picture.

    Example: scanner opener open vouchers.export cases.jsonl --key opener.key --policy policy.cose
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from scanner.exports import read_export
    from scanner.keys import read_private_key
    from scanner.opener import Report, open_export

    opener_key = read_private_key(key, X25519PrivateKey)
    own = opener_key.public_key().public_bytes_raw()
    policies = {}
    for path in policy:
        read = _policy(path).policy
        if read.opener_key != own:
            raise ArgumentError(f"{key} is not the key that the policy {path} has vouchers sealed to")
        policies[read.digest] = read
    windows = list(read_export(export))
    counts: Counter[str] = Counter()

    def cases() -> Iterator[dict[str, Any]]:
        with progress("opening", len(windows)) as bar:
            for report in open_export(windows, opener_key, policies):
                counts[report.result] += 1
                counts.update({f"{problem} vouchers": number for problem, number in report.malformed.items()})
                if accounts:
                    print_json(
                        {
                            "account": report.account.hex(),
                            "window": report.window,
                            "result": report.result,
                            "vouchers": report.vouchers,
                            "opened": len(report.opened),
                            "malformed": report.malformed,
                        }
                    )
                if report.opened:
                    yield _case(report)
                bar.advance(TASK)

    def _case(report: Report) -> dict[str, Any]:
        return {
            "account": report.account.hex(),
            "window": report.window,
            "matches": [
                {
                    "content_id": one.content_id,
                    "leaf_index": one.leaf_index,
                    "distance": one.distance,
                    "quality": one.quality,
                    "algorithm": one.algorithm,
                    "hash": one.hash.hex(),
                    "day": one.day,
                    "hashset_digest": one.hashset_digest.hex(),
                    "policy_digest": one.policy_digest.hex(),
                    "build": one.build.hex(),
                }
                for one in report.opened
            ],
        }

    written = _write_lines(out, cases())
    told = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items())) or "nothing in it"
    errors.print(f"{out}: {written:,} cases; of {len(windows):,} accounts' windows: {told}", markup=False)


def _policy(path: Path) -> Any:
    from scanner.vouchers.policies import read

    try:
        return read(path.read_bytes())
    except OSError as error:
        raise StorageError(f"can't read the policy {path}: {error.strerror or error}") from error


def _write_lines(path: Path, cases: Iterator[dict[str, Any]]) -> int:
    """Write cases into a new file that others can't read; returns how many."""
    written = 0
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            try:
                for case in cases:
                    file.write(json_module.dumps(case) + "\n")
                    written += 1
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise StorageError(f"{path} exists already; cases are never overwritten") from None
    except OSError as error:
        raise StorageError(f"can't write {path}: {error.strerror or error}") from error
    return written
