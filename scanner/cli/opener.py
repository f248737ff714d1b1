"""``scanner opener``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from scanner.cli.output import TASK, errors, print_json, progress
from scanner.errors import ArgumentError
from scanner.files import new_file

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
    from scanner.policy_store import read_policy

    opener_key = read_private_key(key, X25519PrivateKey)
    own = opener_key.public_key().public_bytes_raw()
    policies = {}
    for path in policy:
        read = read_policy(path).policy
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

    written = 0
    with new_file(out, "cases") as file:
        for case in cases():
            file.write(json.dumps(case).encode() + b"\n")
            written += 1
    told = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items())) or "nothing in it"
    errors.print(f"{out}: {written:,} cases; of {len(windows):,} accounts' windows: {told}", markup=False)
