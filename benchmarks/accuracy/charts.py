"""The charts of a report, from an evaluation: DET curves, FPIR by size of list, distances, recall by strength.

Rules: a hash has one colour and dash in every chart; an interval is drawn where there is one; nothing is computed but
cumulated counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from benchmarks.accuracy.plots import Axis, Series, chart, log_axis, named_axis, span

Document = Mapping[str, Any]
FEWEST_EDITS = 2
SPREAD = 0.5
APART = 1.02


class Drawing(NamedTuple):
    """A chart and what is written above it."""

    heading: str
    svg: str


def told_hashes(document: Document) -> dict[str, Mapping[str, Any]]:
    """Hashes that have figures, by name."""
    return {name: one for name, one in document["hashes"].items() if "refused" not in one}


def styles(document: Document) -> dict[str, int]:
    """Colour and dash of each hash."""
    return {name: number for number, name in enumerate(document["hashes"])}


def det_curves(document: Document) -> list[Drawing]:
    """FNIR against FPIR and against FMR, over the ladder and over messengers."""
    found = []
    hashes, style = told_hashes(document), styles(document)
    for group, said in (("ladder", "all edits"), ("messenger", "messengers")):
        for against in ("FPIR", "FMR"):
            series = []
            for name, one in hashes.items():
                rows = one.get("det", {}).get(group, ())
                false = _false_rates(one, against)
                points = [(false[row["radius"]], row["estimate"]) for row in rows]
                if any(a > 0 and b > 0 for a, b in points):
                    series.append(Series(name, points, style[name]))
            if series:
                x = log_axis(_FALSE[against], [a for one in series for a, _ in one.points])
                y = log_axis("FNIR", [b for one in series for _, b in one.points])
                title = f"DET, {said}: FNIR against {against}"
                told = f"Radius rises from left to right; lower and further left is better; {len(series)} hashes."
                found.append(Drawing(f"{said}, by {against}", chart(series, x, y, title, told)))
    return found


def list_sizes(document: Document) -> list[Drawing]:
    """FPIR against the number of entries, at each hash's radius."""
    series = []
    hashes = told_hashes(document)
    for number, (name, one) in enumerate(hashes.items()):
        rows = [row for row in one["fpir_by_size"] if row["radius"] == one["radius"]]
        beside = APART ** (number - (len(hashes) - 1) / 2)  # so that whiskers do not hide each other
        points = [(row["size"] * beside, row["estimate"]) for row in rows]
        whiskers = [(row["size"] * beside, row["low"], row["high"]) for row in rows]
        series.append(Series(name, points, styles(document)[name], whiskers))
    if not series:
        return []
    sizes = [a for one in series for a, _ in one.points]
    x = Axis("entries in the list", min(sizes) / 1.1, max(sizes) * 1.1, log=True)
    y = log_axis(
        "FPIR", [high for one in series for _, _, high in one.whiskers] + [b for one in series for _, b in one.points]
    )
    told = "Whiskers are 95 % intervals; a list without a false hit has its whisker only."
    return [Drawing("at each hash's radius", chart(series, x, y, "FPIR against the size of the list", told))]


def histograms(document: Document) -> list[Drawing]:
    """Distances of unrelated pictures, of photographs among them, and of edits from their pictures; one a hash."""
    found = []
    for name, one in told_hashes(document).items():
        bits = one["bits"]
        series = []
        kinds = (("listable", "unrelated", 0), ("photograph", "unrelated photographs", 1))
        for population, said, style in kinds:
            held = one["populations"].get(population)
            if held is not None:
                points = [(at / bits, n / held["pairs"]) for at, n in enumerate(held["histogram"]) if n]
                series.append(Series(said, points, style, marked=False))
        mated: dict[int, int] = {}
        for row in one.get("fnir", ()):
            for at, count in row["distances"]:
                mated[at] = mated.get(at, 0) + count
        total = sum(mated.values())
        if total:
            points = [(at / bits, mated[at] / total) for at in sorted(mated)]
            series.append(Series("edits of one picture", points, 2, marked=False))
        x = span("share of bits that differ", [0.0, 1.0])
        y = log_axis("share of pairs", [b for each in series for _, b in each.points])
        told = f"Distances of {name}; it matches up to {one['radius']} of {bits} bits, {one['radius'] / bits:.3f}."
        found.append(Drawing(f"{name}", chart(series, x, y, f"Distances, {name}", told)))
    return found


def recall_ladders(document: Document) -> list[Drawing]:
    """Recall after each edit of a family, in order of strength, at equal FPIR; families of one edit are left out."""
    hashes, style = told_hashes(document), styles(document)
    families: dict[str, dict[str, float]] = {}
    for one in hashes.values():
        for row in one.get("fnir", ()):
            families.setdefault(row["family"], {})[row["edit"]] = row["strength"]
    found = []
    for family, edits in families.items():
        names = list(edits)
        series = []
        for number, (name, one) in enumerate(hashes.items()):
            beside = SPREAD * ((number + 0.5) / len(hashes) - 0.5)
            rows = [
                (names.index(row["edit"]) + beside, row["at_equal"])
                for row in one.get("fnir", ())
                if row["family"] == family and row["at_equal"] is not None
            ]
            points = [(at, 1 - rate["estimate"]) for at, rate in rows]
            whiskers = [(at, 1 - rate["high"], 1 - rate["low"]) for at, rate in rows]
            if points:
                series.append(Series(name, points, style[name], whiskers))
        if series and len(names) >= FEWEST_EDITS:
            x = named_axis("", [name.removeprefix(f"{family}-") for name in names])
            told = "Recall of each hash at the radius of equal FPIR; whiskers are 95 % intervals."
            found.append(Drawing(family, chart(series, x, Axis("recall", 0.0, 1.0), f"Recall after {family}", told)))
    return found


_FALSE = {"FPIR": "FPIR against the whole list", "FMR": "FMR of a pair"}


def _false_rates(one: Mapping[str, Any], against: str) -> list[float]:
    if against == "FPIR":
        return [row["estimate"] for row in one["fpir_by_radius"]]
    held = one["populations"]["listable"]
    return [count / held["pairs"] for count in accumulate(held["histogram"])]
