"""``scanner hashset``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.hashing import Algorithm
from scanner.cli.output import TASK, errors, fail, print_json, progress
from scanner.errors import HashSetError

if TYPE_CHECKING:
    from scanner.hashset import HashSet, HashSetBuilder

app = typer.Typer(help="Build, describe and verify lists of known hashes.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A hash-set file.", show_default=False)]


@app.command("build")
def build(
    out: Annotated[Path, typer.Argument(help="File to write.", show_default=False)],
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of pictures, lists of hashes (.csv, .tsv, .txt, .json, .jsonl), or hash sets.",
            metavar="SOURCE...",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the list, shown to people.")] = "",
    algorithm: Algorithm = "pdq",
    epoch: Annotated[int, typer.Option(help="Number of this edition; later is higher.", min=0)] = 1,
    radius: Annotated[
        int | None, typer.Option(help="Largest distance that counts as a match.", show_default="the algorithm's")
    ] = None,
    quality_floor: Annotated[
        int | None, typer.Option(help="Refuse pictures below this quality.", show_default="the algorithm's")
    ] = None,
) -> None:
    """Build a hash set.

    Pictures of low quality, files that are no pictures and repeated entries are refused and counted. An existing file
    is replaced only once the new one is complete.

    Example: scanner hashset build known.prescan pictures/ more.csv --name "demo list"
    """
    from scanner.hashset import HashSetBuilder

    builder = HashSetBuilder(name or out.stem, algorithm, epoch=epoch, radius=radius, quality_floor=quality_floor)
    for source in sources:
        _add(builder, source)
    if not len(builder):
        fail(f"nothing to list: no source gave an entry{_refusals(builder)}; {out} was not written")
    digest = builder.write(out)
    errors.print(f"{out}: {len(builder):,} entries{_refusals(builder)}", markup=False)
    typer.echo(digest.hex())


@app.command("info")
def info(file: File, json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say what a hash set holds, after verifying it."""
    from scanner.hashset import HashSet

    with HashSet.open(file) as known:
        facts = _facts(known)
    if json:
        print_json(facts)
    else:
        width = max(map(len, facts))
        for key, value in facts.items():
            typer.echo(f"{key.replace('_', ' '):<{width}}  {value}")


@app.command("verify")
def verify(file: File) -> None:
    """Check every byte of a hash set against its digests, and that FAISS reads the same codes from it."""
    import faiss
    import numpy as np

    from scanner.hashset import HashSet

    with HashSet.open(file) as known:
        held = known.faiss_bytes()
        if not np.array_equal(faiss.serialize_index_binary(faiss.deserialize_index_binary(held)), held):
            raise HashSetError(f"{file}: FAISS reads another index than the set holds")
        typer.echo(f"{file}: good, {len(known):,} entries, digest {known.digest.hex()}")


def _add(builder: HashSetBuilder, source: Path) -> None:
    from scanner.hashset import HashSet, find_files, read_hash_list, read_pictures
    from scanner.hashset.lists import LIST_SUFFIXES

    def refuse(reason: str) -> None:
        builder.refused[reason] += 1

    if source.is_dir():
        files = find_files(source)
        with progress(f"hashing {source}", len(files)) as bar:
            for entry in read_pictures(files, source, builder.settings.name, refuse):
                if entry is not None:
                    builder.add(entry)
                bar.advance(TASK)
    elif source.suffix.lower() in LIST_SUFFIXES:
        builder.add_all(read_hash_list(source, builder.settings.name, refuse))
    else:
        with HashSet.open(source) as known:
            builder.add_all(known.entries())


def _refusals(builder: HashSetBuilder) -> str:
    if not builder.refused:
        return ""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(builder.refused.items()))
    return f"; refused {builder.refused.total():,} ({reasons})"


def _facts(known: HashSet) -> dict[str, str | int]:
    header = known.header
    return {
        "name": header.name,
        "epoch": header.epoch,
        "entries": header.count,
        "algorithm": header.algorithm,
        "bits": header.bits,
        "radius": header.radius,
        "quality_floor": header.quality_floor,
        "source_of_settings": known.settings.source,
        "digest": known.digest.hex(),
    }
