"""The charts of a report, from an evaluation: DET curves, FPIR by size of list, distances, recall by strength.

Rules: a hash has one colour and dash in every chart; an interval is drawn where there is one; nothing is computed but
cumulated counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from benchmarks.accuracy.plots import Axis, Series, chart, log_axis, span

Document = Mapping[str, Any]
FEWEST_STRENGTHS = 3


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
    for name, one in told_hashes(document).items():
        rows = [row for row in one["fpir_by_size"] if row["radius"] == one["radius"]]
        points = [(row["size"], row["estimate"]) for row in rows]
        whiskers = [(row["size"], row["low"], row["high"]) for row in rows]
        series.append(Series(name, points, styles(document)[name], whiskers))
    if not series:
        return []
    x = log_axis("entries in the list", [a for one in series for a, _ in one.points], 1.0)
    most = max(a for one in series for a, _ in one.points)
    x = Axis(x.label, x.low if x.low > 1 else min(a for one in series for a, _ in one.points), most * 1.05, log=True)
    y = log_axis("FPIR", [value for one in series for _, low, high in one.whiskers for value in (high, low) if value])
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
    """Recall against the strength of each edit that has three strengths or more, at equal FPIR."""
    hashes, style = told_hashes(document), styles(document)
    kinds: dict[tuple[str, str], None] = {}
    for one in hashes.values():
        kinds |= {(row["family"], row["unit"]): None for row in one.get("fnir", ())}
    found = []
    for family, unit in kinds:
        series = []
        for name, one in hashes.items():
            rows = [
                row
                for row in one.get("fnir", ())
                if (row["family"], row["unit"]) == (family, unit) and row["at_equal"] is not None
            ]
            rows.sort(key=lambda row: row["strength"])
            points = [(row["strength"], 1 - row["at_equal"]["estimate"]) for row in rows]
            if len({a for a, _ in points}) >= FEWEST_STRENGTHS:
                whiskers = [(row["strength"], 1 - row["at_equal"]["high"], 1 - row["at_equal"]["low"]) for row in rows]
                series.append(Series(name, points, style[name], whiskers))
        if series:
            x = span(unit, [a for one in series for a, _ in one.points])
            title = f"Recall after {family}, by {unit}"
            told = "Recall of each hash at the radius of equal FPIR; whiskers are 95 % intervals."
            found.append(Drawing(family, chart(series, x, Axis("recall", 0.0, 1.0), title, told)))
    return found


_FALSE = {"FPIR": "FPIR against the whole list", "FMR": "FMR of a pair"}


def _false_rates(one: Mapping[str, Any], against: str) -> list[float]:
    if against == "FPIR":
        return [row["estimate"] for row in one["fpir_by_radius"]]
    held = one["populations"]["listable"]
    return [count / held["pairs"] for count in accumulate(held["histogram"])]
