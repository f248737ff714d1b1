"""``scanner hash``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.output import EXIT_ERROR, errors, print_json
from scanner.errors import MediaError

Algorithm = Annotated[
    str, typer.Option("--algorithm", "-a", help="pdq, pdq-512, phash, dhash or whash.", metavar="NAME")
]


def hash_files(
    files: Annotated[list[Path], typer.Argument(help="Pictures.", metavar="FILE...", show_default=False)],
    algorithm: Algorithm = "pdq",
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print the perceptual hash of pictures.

    A line is: hash in hexadecimal, quality (0 to 100), file. Pictures are decoded at full size, so PDQ hashes are those
    of other PDQ tools. Below quality 50 a PDQ hash says little.

    Example: scanner hash holiday.jpg
    """
    from scanner.hashing import hash_picture
    from scanner.profiles import algorithm_named

    algorithm_named(algorithm)
    failed = False
    for path in files:
        try:
            known, quality = hash_picture(path, algorithm)
        except MediaError as error:
            errors.print(f"scanner: {path}: {error}", markup=False)
            failed = True
            continue
        if json:
            print_json({"file": str(path), "algorithm": algorithm, "hash": known.hex, "quality": quality})
        else:
            typer.echo(f"{known.hex} {quality:3d} {path}")
    if failed:
        raise typer.Exit(EXIT_ERROR)
