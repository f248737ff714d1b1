"""The main figures of an evaluation as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def lines_of(document: Mapping[str, Any]) -> list[str]:
    """A table: radius, false hits, bounds of FPIR, recall and threshold of each hash."""
    head = f"{'hash':<28}{'radius':>7}{'false hits':>16}{'FPIR <=':>10}{'photographs <=':>16}{'recall':>8}{'t':>7}"
    lines = [
        f"list of {_largest(document):,}, radii as used, bounds one-sided at 95 %; t: strictest law, upper end",
        head,
    ]
    for name, one in document["hashes"].items():
        if "refused" in one:
            lines.append(f"{name:<28}none: {one['refused']}")
            continue
        whole, photographs = one["strata"]["listable"], one["strata"].get("photograph")
        missed = one.get("fnir_by_stratum", {}).get("ladder")
        laws = one["accounts"]["listable"].get("laws", {})
        lines.append(
            f"{name:<28}{one['radius']:>7}{whole['hits']:>7,} of {whole['n']:<5,}{whole['upper']:>10.2e}"
            f"{'–' if photographs is None else format(photographs['upper'], '.2e'):>16}"
            f"{'–' if missed is None else format(1 - missed['estimate'], '.3f'):>8}"
            f"{max((law['at_upper'] for law in laws.values()), default='–'):>7}"
        )
    return lines


def _largest(document: Mapping[str, Any]) -> int:
    return max((one.get("list", 0) for one in document["hashes"].values()), default=0)
