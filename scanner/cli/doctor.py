"""``scanner doctor``."""

from __future__ import annotations

import platform
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated

import typer

import scanner
from scanner.cli.output import print_json

_NEEDS = {
    "no-new-privs": "Linux alone has it",
    "not-dumpable": "Linux alone has it",
    "landlock": "Linux 5.13 or later with Landlock on, and the package landlock",
    "rlimits": "POSIX alone has them",
    "seccomp": "Linux, the package pyseccomp and the system's libseccomp2",
}
_LIBRARIES = ("pillow", "numba", "numpy", "faiss-cpu", "cryptography")


def run_doctor(json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say what works on this machine: what holds the process that decodes, and which formats are read.

    Exit code 2 if that process can't be started; missing protections are told, and do not stop it.
    """
    from scanner.media import formats
    from scanner.sandbox import PROTECTIONS, IsolatedHasher

    with IsolatedHasher() as hasher:
        held = hasher.warm_up()
    video = find_spec("av") is not None
    extras: dict[str, str | None] = dict.fromkeys(formats.available())
    extras |= {plugin.name: plugin.extra for plugin in formats.missing()}
    extras |= {"videos": None if video else "video"}
    libraries = {name: version(name) for name in _LIBRARIES}
    if json:
        print_json(
            {
                "prescan": scanner.__version__,
                "python": platform.python_version(),
                "system": platform.platform(),
                "libraries": libraries,
                "decoder": {name: name in held for name in PROTECTIONS},
                "formats": {name: extra is None for name, extra in extras.items()},
            }
        )
        return
    typer.echo(f"prescan {scanner.__version__}, Python {platform.python_version()}, {platform.platform()}")
    typer.echo(", ".join(f"{name} {number}" for name, number in libraries.items()))
    typer.echo("\nThe process that decodes is held by:")
    for name in PROTECTIONS:
        typer.echo(f"  {name:<13} {'yes' if name in held else f'NO: needs {_NEEDS[name]}'}")
    typer.echo("\nRead are:")
    for name, extra in extras.items():
        wanted = f"no: pip install 'prescan[{extra}]'"
        typer.echo(f"  {name:<13} {'yes' if extra is None else wanted}")
