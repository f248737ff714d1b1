"""One page with everything: self-contained HTML from an evaluation, with nothing to load and nothing that runs.

Rules: no script, no address outside the page; every table has a caption and headed rows and columns; every figure has
its interval, or the reason why there is none; the limits stand before the figures.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.accuracy import charts, presets
from benchmarks.accuracy.gallery import thumbnails
from benchmarks.accuracy.plots import STYLES, legend
from scanner.files import replace_file

TEMPLATES = Path(__file__).parent / "templates"
LAWS = {
    "independent": "each picture by itself",
    "accounts_differ": "accounts differ",
    "bursts_fixed": "bursts of one size",
    "bursts_vary": "bursts, sizes vary",
    "both_fixed": "accounts differ, bursts of one size",
    "both_vary": "accounts differ, bursts vary",
}
STRATA = {"listable": "all that can be listed", "every": "every picture, under the quality floor too"}


def render(document: Mapping[str, Any], root: Path | None) -> str:
    """Make the page.

    Args:
        document: an evaluation.
        root: folder of the pictures, for the thumbnails; without one the nearest pairs are only named.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"rate": rate, "signed": signed, "count": count, "digits": digits}
    hashes = charts.told_hashes(document)
    style = charts.styles(document)
    pairs = [picture for one in hashes.values() for pair in one["nearest_pairs"] for picture in pair["pictures"]]
    page = environment.get_template("report.html.j2").render(
        document=document,
        hashes=hashes,
        refused={name: one["refused"] for name, one in document["hashes"].items() if "refused" in one},
        legend=Markup(legend([(name, style[name]) for name in hashes])),  # noqa: S704 - names are escaped in it
        kinds=Markup(legend([("unrelated", 0), ("unrelated photographs", 1), ("edits of one picture", 2)])),  # noqa: S704
        drawings={
            name: [(drawing.heading, Markup(drawing.svg)) for drawing in draw(document)]  # noqa: S704 - as above
            for name, draw in (
                ("det", charts.det_curves),
                ("sizes", charts.list_sizes),
                ("histograms", charts.histograms),
                ("ladders", charts.recall_ladders),
            )
        },
        strata=strata_of(document),
        populations=[
            name for name in strata_of(document) if any(name in one["populations"] for one in hashes.values())
        ],
        stratum_names=STRATA,
        fitted=any("refused" not in tail for one in hashes.values() for tail in one["tails"].values()),
        laws=LAWS,
        edits=edits_of(document),
        published=[(preset, presets.beside(preset, document)) for preset in presets.PRESETS.values()],
        thumbnails={} if root is None else thumbnails(root, pairs),
        command=shlex.join(document["measured"].get("command", [])),
        colours=range(STYLES),
    )
    return page + "\n"


def write(document: Mapping[str, Any], root: Path | None, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        StorageError: it can't be written.
    """
    replace_file(path, [render(document, root).encode()])


def strata_of(document: Mapping[str, Any]) -> list[str]:
    """Every stratum that some hash has a rate of, the whole first and photographs next."""
    found: dict[str, None] = dict.fromkeys(("listable", "photograph"))
    for one in charts.told_hashes(document).values():
        found |= dict.fromkeys(name for name in one["strata"] if name != "every")
    some = [name for name in found if any(name in one["strata"] for one in charts.told_hashes(document).values())]
    return [*some, "every"] if some else []


def edits_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each edit with the figures of every hash."""
    found: dict[str, dict[str, Any]] = {}
    for name, one in charts.told_hashes(document).items():
        for row in one.get("fnir", ()):
            edit = found.setdefault(row["edit"], {**row, "by_hash": {}})
            edit["by_hash"][name] = row
    return list(found.values())


def rate(value: float | None) -> str:
    """A rate, distance or share with two or three digits that count."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else _power(value)


def signed(fields: Mapping[str, Any]) -> str:
    """A difference and its interval, with signs."""
    low, high = (f"{fields[end]:+.3f}" for end in ("low", "high"))
    return f"{fields['estimate']:+.3f} ({low} to {high})"


def count(value: float) -> str:
    """A whole number."""
    return f"{value:,.0f}"


def digits(value: float | None) -> str:
    """A figure to four digits, as publications have it."""
    if value is None:
        return "not measured"
    return f"{value:.4g}" if value == 0 or abs(value) >= 0.001 else _power(value)


def _power(value: float) -> str:
    factor, _, power = f"{value:.1e}".partition("e")
    return f"{factor.removesuffix('.0')}e{int(power)}"
