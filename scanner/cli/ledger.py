"""``scanner ledger``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.output import fail, print_json
from scanner.errors import StorageError, VoucherError

app = typer.Typer(help="Look at the record this device keeps for its user.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="The device's outbox.", show_default=False)]


@app.command("show")
def show(outbox: File, json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say what was scanned, with what outcomes, and every byte that left.

    Example: scanner ledger show outbox.db
    """
    from scanner.outbox import Outbox

    with Outbox(_existing(outbox)) as box:
        ledger = box.ledger()
        waiting = box.waiting_matches()
    if json:
        print_json(
            {
                "scans": [{"day": _day(one.day), "outcome": one.outcome, "number": one.number} for one in ledger.scans],
                "traffic": [
                    {"day": _day(one.day), "requests": one.requests, "bytes": one.bytes} for one in ledger.traffic
                ],
                "vouchers": [
                    {
                        "window": one.window,
                        "slot": one.slot,
                        "state": one.state,
                        "bytes": one.size,
                        "sha256": one.digest.hex(),
                        "receipted": one.receipt is not None,
                    }
                    for one in ledger.vouchers
                ],
                "waiting": waiting,
            }
        )
        return
    for one in ledger.scans:
        typer.echo(f"{_day(one.day)}  scanned  {one.outcome:<12} {one.number:>8,}")
    for day in ledger.traffic:
        typer.echo(f"{_day(day.day)}  sent     {day.requests:,} requests, {day.bytes:,} bytes")
    for kept in ledger.vouchers:
        problem = f"  ({kept.problem})" if kept.problem else ""
        typer.echo(
            f"window {kept.window} slot {kept.slot}  {kept.state:<9}  {kept.size} bytes  {kept.digest.hex()}{problem}"
        )
    typer.echo(f"{waiting} matches wait for a slot; about all other pictures nothing was kept and nothing sent")


@app.command("verify")
def verify(
    outbox: File,
    intake_key: Annotated[
        Path, typer.Option("--intake-key", "-i", help="The intake's public key (.pub).", show_default=False)
    ],
) -> None:
    """Check every receipt against the intake's key and the voucher it is for.

    Exit code 2 if one is not good, or a voucher counts as delivered without one.

    Example: scanner ledger verify outbox.db --intake-key intake.key.pub
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from scanner.keys import read_public_key
    from scanner.outbox import Outbox
    from scanner.vouchers import Receipt

    key = read_public_key(intake_key, Ed25519PublicKey)
    with Outbox(_existing(outbox)) as box:
        vouchers = box.ledger().vouchers
    good = 0
    for kept in vouchers:
        place = f"window {kept.window} slot {kept.slot}"
        if kept.receipt is None:
            if kept.state == "delivered":
                fail(f"{place}: counts as delivered and has no receipt")
            continue
        try:
            receipt = Receipt.verified(kept.receipt, key)
        except VoucherError as error:
            fail(f"{place}: {error}")
        if (receipt.window, receipt.slot, receipt.voucher_digest) != (kept.window, kept.slot, kept.digest):
            fail(f"{place}: the receipt is for another voucher")
        good += 1
    typer.echo(f"{good} receipts are good; {len(vouchers) - good} vouchers have none (yet)")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise StorageError(f"there is no outbox {path}")
    if not path.stat().st_size:
        raise StorageError(f"{path} is empty, not an outbox")
    return path


def _day(day: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y-%m-%d")
