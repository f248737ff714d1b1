"""``scanner policy new`` and ``scanner policy show``: policy files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.output import errors
from scanner.files import new_file


def new(
    out: Annotated[Path, typer.Argument(help="Policy to write.", show_default=False)],
    hashset: Annotated[Path, typer.Option("--hashset", "-s", help="The list it is for.", show_default=False)],
    opener_key: Annotated[
        Path, typer.Option("--opener-key", "-o", help="The opener's public key (.pub).", show_default=False)
    ],
    signer: Annotated[
        list[Path],
        typer.Option("--signer", help="Private key that signs (keys new signer); may be repeated.", show_default=False),
    ],
    threshold: Annotated[
        int,
        typer.Option(
            "--threshold", "-t", help="Different pictures it takes; see policy threshold.", show_default=False
        ),
    ],
    serial: Annotated[int, typer.Option(help="Number of this edition; over the one before.", min=1)] = 1,
    cover: Annotated[
        bool, typer.Option("--cover", help="Devices send a voucher in each of 64 slots a window, match or not.")
    ] = False,
    quorum: Annotated[
        int | None, typer.Option(help="Signatures a change that shows more takes.", show_default="all")
    ] = None,
    ordinary: Annotated[int, typer.Option(help="Signatures another change takes.", min=1)] = 1,
) -> None:
    """Make and sign a policy: what devices do, and when what they send can be opened.

    Example: scanner policy new policy.cose --hashset known.prescan --opener-key opener.key.pub --signer a.key -t 30
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    from scanner.hashset import HashSet
    from scanner.keys import read_private_key, read_public_key
    from scanner.vouchers.policies import COVERED, MATCH_ONLY, Policy, sign

    keys = [read_private_key(path, Ed25519PrivateKey) for path in signer]
    signers = tuple(sorted({key.public_key().public_bytes_raw() for key in keys}))
    with HashSet.open(hashset) as known:
        header = known.header
        policy = Policy(
            serial=serial,
            threshold=threshold,
            profile=COVERED if cover else MATCH_ONLY,
            algorithm=header.algorithm,
            radius=header.radius,
            quality_floor=header.quality_floor,
            opener_key=read_public_key(opener_key, X25519PublicKey).public_bytes_raw(),
            hashset_digest=known.digest,
            hashset_name=header.name,
            not_before=0,
            signers=signers,
            quorum=len(signers) if quorum is None else quorum,
            ordinary=ordinary,
        )
    with new_file(out, "policies", mode=0o644) as file:
        file.write(sign(policy, keys))
    errors.print(f"wrote {out}", markup=False)
    typer.echo(policy.digest.hex())


def show(file: Annotated[Path, typer.Argument(help="A policy.", show_default=False)]) -> None:
    """Say what a policy holds and who signed it, after checking the signatures."""
    from dataclasses import fields

    from scanner.policy_store import read_policy

    signed = read_policy(file)
    for field in fields(signed.policy):
        value = getattr(signed.policy, field.name)
        if isinstance(value, tuple):
            value = ", ".join(one.hex() for one in value)
        typer.echo(f"{field.name.replace('_', ' '):<15} {value.hex() if isinstance(value, bytes) else value}")
    typer.echo(f"{'digest':<15} {signed.policy.digest.hex()}")
    typer.echo(f"{'signed by':<15} {', '.join(sorted(key.hex() for key in signed.signed_by))}")
