"""``scanner hashset``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.hashing import Algorithm
from scanner.cli.hashset_calibration import as_fields, as_lines
from scanner.cli.output import TASK, errors, fail, print_json, progress
from scanner.errors import HashSetError

if TYPE_CHECKING:
    from scanner.hashset import Entry, HashSet, HashSetBuilder

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
    compact: Annotated[
        bool, typer.Option("--compact", help="Half the memory when searched, at ten to twenty times the time.")
    ] = False,
    turned: Annotated[
        bool, typer.Option("--turned", help="List pictures turned and mirrored too: eight times the entries; pdq only.")
    ] = False,
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
        _add(builder, source, turned=turned)
    if not len(builder):
        fail(f"nothing to list: no source gave an entry{_refusals(builder)}; {out} was not written")
    digest = builder.write(out, compact=compact)
    errors.print(f"{out}: {len(builder):,} entries{_refusals(builder)}", markup=False)
    typer.echo(digest.hex())


@app.command("delta")
def delta(
    out: Annotated[Path, typer.Argument(help="Delta to write.", show_default=False)],
    base: Annotated[
        list[Path],
        typer.Argument(help="The set below, and earlier deltas, oldest first.", metavar="BASE..."),
    ],
    epoch: Annotated[int, typer.Option(help="Number of the new edition; over the base's.", show_default=False)],
    add: Annotated[
        list[Path] | None, typer.Option(help="Folder, list or set of entries to add; may be repeated.")
    ] = None,
    remove: Annotated[
        list[Path] | None, typer.Option(help="List or set of hashes whose entries are removed; may be repeated.")
    ] = None,
) -> None:
    """Write what changes from one edition of a list to the next, so that a large list need not be sent again.

    Example: scanner hashset delta 8.delta known.prescan --epoch 8 --add new.csv --remove withdrawn.csv
    """
    from scanner.hashset import DeltaBuilder, open_layers

    with open_layers(base[0], base[1:]) as known:
        builder = DeltaBuilder(known, epoch=epoch)
        for source in add or ():
            _add(builder.added, source)
        removed = sum(builder.remove(entry.hash) for source in remove or () for entry in _listed(source, builder.added))
        digest = builder.write(out)
    errors.print(
        f"{out}: {len(builder.added):,} entries added, {removed:,} removed{_refusals(builder.added)}", markup=False
    )
    typer.echo(digest.hex())


@app.command("merge")
def merge(
    out: Annotated[Path, typer.Argument(help="File to write.", show_default=False)],
    base: Annotated[
        list[Path], typer.Argument(help="A hash set and its deltas, oldest first.", metavar="BASE DELTA...")
    ],
) -> None:
    """Write a set and its deltas as one set."""
    from scanner.hashset import HashSetBuilder, open_layers

    with open_layers(base[0], base[1:]) as known:
        header = known.header
        builder = HashSetBuilder(
            header.name, header.algorithm, epoch=header.epoch, radius=header.radius, quality_floor=header.quality_floor
        )
        builder.add_all(known.entries())
        digest = builder.write(out)
    errors.print(f"{out}: {len(builder):,} entries{_refusals(builder)}", markup=False)
    typer.echo(digest.hex())


@app.command("info")
def info(file: File, json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say what a hash set or a delta holds, after verifying it, and how it is searched."""
    from scanner.hashset import HashSet

    with HashSet.open_any(file) as known:
        facts = _facts(known)
        calibration = known.calibration
    if json:
        print_json(facts | {"calibration": as_fields(calibration)})
    else:
        lines = [(key.replace("_", " "), str(value)) for key, value in facts.items()] + as_lines(calibration)
        width = max(len(key) for key, _ in lines)
        for key, value in lines:
            typer.echo(f"{key:<{width}}  {value}")


@app.command("verify")
def verify(file: File) -> None:
    """Check every byte of a hash set or delta against its digests, and that FAISS reads the same codes from it."""
    import faiss
    import numpy as np

    from scanner.hashset import HashSet

    with HashSet.open_any(file) as known:
        held = known.faiss_bytes()
        if not np.array_equal(faiss.serialize_index_binary(faiss.deserialize_index_binary(held)), held):
            raise HashSetError(f"{file}: FAISS reads another index than the set holds")
        typer.echo(f"{file}: good, {len(known):,} entries, digest {known.digest.hex()}")


def _listed(source: Path, builder: HashSetBuilder) -> Iterable[Entry]:
    """Entries of a list or a set, for their hashes."""
    from scanner.hashset import HashSet, read_hash_list
    from scanner.hashset.lists import LIST_SUFFIXES

    if source.suffix.lower() in LIST_SUFFIXES:
        return read_hash_list(source, builder.settings.name, lambda _: None)
    with HashSet.open(source) as known:
        return list(known.entries())


def _add(builder: HashSetBuilder, source: Path, *, turned: bool = False) -> None:
    from scanner.hashset import HashSet, find_files, read_hash_list, read_pictures
    from scanner.hashset.lists import LIST_SUFFIXES

    def refuse(reason: str) -> None:
        builder.refused[reason] += 1

    if source.is_dir():
        files = find_files(source)
        with progress(f"hashing {source}", len(files)) as bar:
            for entries in read_pictures(files, source, builder.settings.name, refuse, turned=turned):
                builder.add_all(entries)
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
        "videos": len(known.videos),
        "algorithm": header.algorithm,
        "bits": header.bits,
        "radius": header.radius,
        "quality_floor": header.quality_floor,
        "source_of_settings": known.settings.source,
        "digest": known.digest.hex(),
        "engine": _engine(known),
        **({"base": header.base, "removed": len(known.removed())} if header.base else {}),
    }


def _engine(known: HashSet) -> str:
    from scanner.index import CROSSOVER, engine_for

    name = engine_for(len(known), known.tables)
    if name == "flat" or known.tables is None:
        return f"{name}: every entry is looked at; tables pay from {CROSSOVER:,} entries on"
    return f"{name}: tables of {known.tables.nbytes / len(known):.0f} bytes an entry, in the file"
