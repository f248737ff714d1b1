"""``scanner hashset attach-calibration``, and what ``scanner hashset info`` says of a calibration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.output import errors
from scanner.errors import HashSetError, StorageError

if TYPE_CHECKING:
    from scanner.hashset import Calibration

_NEAREST_SHOWN = 10


def attach(
    hashset: Annotated[Path, typer.Argument(help="A hash-set file or a delta.", metavar="SET", show_default=False)],
    certificate: Annotated[
        Path, typer.Argument(help="Its calibration certificate (.json).", metavar="CERT", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write; may be SET.", show_default=False)],
) -> None:
    """Put a calibration certificate into a hash set, where a profile may ask for it.

    The list and its digest stay as they are, and so does every policy that names it. A certificate from before gives
    way. It is unsigned: evidence that anyone with the list and the corpus can count again.

    Example: scanner hashset attach-calibration known.prescan calibration.json --out calibrated.prescan
    """
    import datetime as dt

    from scanner.hashset import Calibration, attach_calibration
    from scanner.hashset.format import LARGEST_CALIBRATION

    try:
        with certificate.open("rb") as file:
            text = file.read(LARGEST_CALIBRATION + 1)
    except OSError as error:
        raise StorageError(f"can't read {certificate}: {error.strerror or error}") from error
    if len(text) > LARGEST_CALIBRATION:
        raise HashSetError(f"{certificate}: a calibration certificate has at most {LARGEST_CALIBRATION:,} bytes")
    try:
        calibration = Calibration.from_json(text)
    except HashSetError as error:
        raise HashSetError(f"{certificate}: {error}") from error
    digest = attach_calibration(hashset, calibration, out, today=dt.datetime.now(dt.UTC).date())
    errors.print(f"{out}: {_rate(calibration.hits, calibration.query_clusters, calibration.upper)}", markup=False)
    typer.echo(digest.hex())


def as_fields(calibration: Calibration | None) -> Any:
    """The certificate's fields for programs; None if there is none."""
    return None if calibration is None else json.loads(calibration.to_json())


def as_lines(calibration: Calibration | None) -> list[tuple[str, str]]:
    """Name and value of each line about a calibration, for people."""
    if calibration is None:
        return [("calibration", "none: how often the list flags an innocent picture is not known")]
    near = calibration.nearest_distances
    return [
        ("calibration", _rate(calibration.hits, calibration.query_clusters, calibration.upper)),
        *((f"  {one.name}", _rate(one.hits, one.query_clusters, one.upper)) for one in calibration.strata),
        ("nearest distances", ", ".join(map(str, near[:_NEAREST_SHOWN])) + ", ..." * (len(near) > _NEAREST_SHOWN)),
        *_edits(calibration),
        ("calibrated on", f"{calibration.date}, with {_versions(calibration)}"),
        ("corpus digest", calibration.corpus_digest.hex()),
    ]


def _edits(calibration: Calibration) -> list[tuple[str, str]]:
    lines = [
        (
            f"  {one.name}",
            f"{one.pictures - one.missed:,} of {one.pictures:,} found, recall at least {1 - one.upper:.3f} at 95 %",
        )
        for one in calibration.edits
    ]
    return [("edits", f"ladder {calibration.ladder}"), *lines] if lines else []


def _versions(calibration: Calibration) -> str:
    return ", ".join(f"{tool} {version}" for tool, version in calibration.versions.items())


def _rate(hits: int, trials: int, upper: float) -> str:
    return f"{hits:,} false hits in {trials:,} query clusters: FPIR {hits / trials:.3g}, at most {upper:.3g} at 95 %"
