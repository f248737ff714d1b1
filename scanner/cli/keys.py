"""``scanner keys``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.output import errors

app = typer.Typer(help="Make and show keys.", no_args_is_help=True)


class Role(StrEnum):
    """Who uses a key."""

    DEVICE = "device"
    INTAKE = "intake"
    OPENER = "opener"
    SIGNER = "signer"


@app.command("new")
def new(
    role: Annotated[
        Role,
        typer.Argument(
            help="device, intake and policy signer keys sign (Ed25519); the opener's decrypts (X25519).",
            show_default=False,
        ),
    ],
    file: Annotated[
        Path, typer.Argument(help="Private key to write; the public one goes to FILE.pub.", show_default=False)
    ],
) -> None:
    """Make a key pair. An existing file is never overwritten.

    Keep the opener's private key offline: whoever holds it reads what has passed the threshold.

    Example: scanner keys new intake intake.key
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from scanner.keys import write_key_pair

    key = X25519PrivateKey.generate() if role is Role.OPENER else Ed25519PrivateKey.generate()
    public = write_key_pair(file, key)
    errors.print(f"wrote {file} (keep it secret) and {public}", markup=False)


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="A private key.", show_default=False)],
) -> None:
    """Print the public half of a private key, and a device key's id."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from scanner.keys import public_pem, read_any_private_key
    from scanner.vouchers import device_id_of

    key = read_any_private_key(file)
    typer.echo(public_pem(key.public_key()).decode(), nl=False)
    if isinstance(key, Ed25519PrivateKey):
        typer.echo(f"device id {device_id_of(key.public_key().public_bytes_raw()).hex()}")
